"""``python -m tests.faults``: exits 1 when anything was lost, duplicated, out of order, untold or otherwise broken."""

import argparse
import asyncio
import secrets
import shutil
import signal
import sys
import tempfile
from collections import Counter
from pathlib import Path

import uvloop
from rich.console import Console
from rich.markup import escape

import tests.faults.kinds  # noqa: F401 - fills the registry
from tests.faults.fault import KINDS
from tests.faults.plan import SHORT, Orders, draw
from tests.faults.report import lateness, table
from tests.faults.result import Result
from tests.faults.run import run
from tests.proof.report import Progress

DEFAULT_MINUTES = 10.0
SPARE_SECONDS = 240.0
"""For start, the step that runs when time is over, and settling."""
EXAMPLES = 40
INTERRUPTED = 130
TABLE_WIDTH = 172


def arguments() -> argparse.Namespace:
    """The command line, parsed."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description="Break a cluster; lose nothing.")
    parser.add_argument("--minutes", type=float, default=DEFAULT_MINUTES, help="how long faults come (default: 10)")
    parser.add_argument("--seed", type=int, help="inject the plan of an earlier run (default: a new one, printed)")
    parser.add_argument("--only", metavar="KIND,...", help="only these kinds; with --minutes 0 each once")
    parser.add_argument("--without", metavar="KIND,...", help="all kinds but these")
    parser.add_argument("--short", action="store_true", help=f"each once: {', '.join(SHORT)}")
    parser.add_argument("--keep", action="store_true", help="keep logs and stores of a good run, too")
    parser.add_argument("--list", action="store_true", help="tell the kinds")
    return parser.parse_args()


def main() -> int:
    """Run, and print what was found; returns the exit status."""
    wanted = arguments()
    # In a file or a pipe nothing is cut off.
    console = Console(width=None if sys.stdout.isatty() else TABLE_WIDTH)
    if wanted.list:
        for fault in KINDS.values():
            console.print(f"[bold]{fault.name}[/]: {fault.does}; {fault.undone}", soft_wrap=True)
        return 0
    without = wanted.without.split(",") if wanted.without else []
    names = wanted.only.split(",") if wanted.only else SHORT if wanted.short else tuple(KINDS)
    names = [name for name in names if name not in without]
    unknown = [name for name in (*names, *without) if name not in KINDS]
    if unknown:
        console.print(f"no such fault: {', '.join(unknown)}; there are {', '.join(KINDS)}")
        return 2
    kinds = {name: KINDS[name] for name in names}
    lacking = {name: lack for name, kind in kinds.items() if (lack := kind.lacks())}
    if lacking:
        for name, lack in lacking.items():
            console.print(f"{name} cannot be done here: {lack}", soft_wrap=True)
        console.print(f"or run with --without {','.join(lacking)}", soft_wrap=True)
        return 2
    seconds = 0.0 if wanted.short else 60 * wanted.minutes
    seed = secrets.randbelow(1_000_000) if wanted.seed is None else wanted.seed
    # Longer than the time: a fault is mostly over sooner than planned, and the run stops when time is over.
    plan = draw(seed, 2 * seconds, kinds)
    console.print(f"seed {seed}: at most {len(plan)} steps of {len(kinds)} kinds", highlight=False)
    # Every kind comes once, however short the time.
    orders = Orders(seed, kinds, plan, max(seconds, 2 * sum(kind.seconds for kind in kinds.values())))
    folder = Path(tempfile.mkdtemp(prefix="slipstream-faults-"))
    progress = Progress(console)
    try:
        result = uvloop.run(_bounded(orders, folder, progress))
    except (KeyboardInterrupt, asyncio.CancelledError):
        progress.stop()
        console.print(f"stopped; logs and stores are in {folder}", soft_wrap=True)
        return INTERRUPTED
    except BaseException:
        progress.stop()
        console.print(f"[red]not judged[/], repeat with --seed {seed}; logs and stores are in {folder}", soft_wrap=True)
        raise
    progress.stop()
    return _tell(console, result, folder, keep=wanted.keep)


def _tell(console: Console, result: Result, folder: Path, *, keep: bool) -> int:
    console.print(table(result))
    console.print(
        f"{result.events:,} events acknowledged, {result.unknown} unknown, {result.readers} readers, "
        f"{result.verdict.deliveries:,} deliveries judged",
        highlight=False,
    )
    got = ", ".join(f"{count:,} {kind}" for kind, count in sorted(result.got.items()))
    console.print(f"events by how they were read: {got}", highlight=False)
    for line in lateness(result):
        console.print(f"  [yellow]{escape(line)}[/]", highlight=False, soft_wrap=True)
    violations = [f"{one.step.name}: {text}" for one in result.injections for text in one.violations]
    for example in [*violations, *result.problems, *_rarest(result.verdict.examples)][:EXAMPLES]:
        console.print(f"  {escape(example)}", highlight=False, soft_wrap=True)
    if result.missed:
        console.print(f"no time was left for {', '.join(result.missed)}: give it more minutes")
    if not result.passed:
        console.print(f"[red]FAILED[/], repeat with --seed {result.seed}; logs are in {folder}", soft_wrap=True)
        return 1
    if keep:
        console.print(f"logs and stores are in {folder}", soft_wrap=True)
    else:
        shutil.rmtree(folder)
    return 0


def _rarest(examples: list[str]) -> list[str]:
    """What one reader saw stands before what all saw: it is the harder to find."""

    def what(example: str) -> str:
        return example.partition("): ")[2]

    seen = Counter(map(what, examples))
    return sorted(examples, key=lambda example: seen[what(example)])


async def _bounded(orders: Orders, folder: Path, progress: Progress) -> Result:
    # As Ctrl-C does: what was started is ended, and every rule that was set is taken back.
    task = asyncio.current_task()
    if task is not None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    async with asyncio.timeout(orders.seconds + SPARE_SECONDS):
        return await run(orders, folder, progress.show, progress.tell)


if __name__ == "__main__":
    sys.exit(main())
