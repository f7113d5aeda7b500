"""``python -m tests.proof``: exits 1 unless nothing was lost, duplicated, out of order, corrupted, or a gap."""

import argparse
import asyncio
import secrets
import shutil
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from tests.proof.frames import FrameError
from tests.proof.plan import Size
from tests.proof.reader import RefusedError
from tests.proof.report import Progress, table
from tests.proof.result import Result
from tests.proof.run import run
from tests.servers import ServerError

DEFAULT_SECONDS = 90.0
DEFAULT_CLIENTS = 200
SHORT_SECONDS = 15.0
SHORT_CLIENTS = 80

_TOLD = (ServerError, RefusedError, FrameError, TimeoutError)
"""What a server did wrong: its message says it all. Anything else is a fault of the proof, and comes with its trace."""


def arguments() -> argparse.Namespace:
    """The command line, parsed."""
    parser = argparse.ArgumentParser(prog="python -m tests.proof", description="Prove that no event is lost.")
    parser.add_argument("--seconds", type=float, help="about how long to run, start and end included (default: 90)")
    parser.add_argument("--seed", type=int, help="repeat the plan of an earlier run (default: a new one, printed)")
    parser.add_argument("--clients", type=int, help="readers (default: 200, with --short 80)")
    parser.add_argument("--short", action="store_true", help="the same in some 20 seconds, for every change")
    return parser.parse_args()


def main() -> int:
    """Run the proof and print what it found; returns the exit status."""
    wanted = arguments()
    seconds, clients = (SHORT_SECONDS, SHORT_CLIENTS) if wanted.short else (DEFAULT_SECONDS, DEFAULT_CLIENTS)
    seconds, clients = wanted.seconds or seconds, wanted.clients or clients
    seed = secrets.randbelow(1_000_000) if wanted.seed is None else wanted.seed
    console = Console()
    size = Size.of(seed, clients, seconds)
    console.print(f"seed {seed}: {size.clients} clients, {size.passes} x all demo events in {size.span:.0f} s")
    folder = Path(tempfile.mkdtemp(prefix="slipstream-proof-"))
    progress = Progress(console)
    try:
        result = asyncio.run(_bounded(size, folder, progress, 3 * seconds + 90))
    except Exception as error:
        progress.stop()
        console.print(f"[red]not proven[/], repeat with --seed {seed}; logs and store are in {folder}", soft_wrap=True)
        leaves = _leaves(error)
        for one in leaves:
            console.print(f"{type(one).__name__}: {escape(str(one))}", highlight=False, soft_wrap=True)
        if all(isinstance(one, _TOLD) for one in leaves):
            return 1
        raise
    progress.stop()
    console.print(table(result))
    for example in result.verdict.examples[:40]:
        console.print(f"  {escape(example)}", highlight=False, soft_wrap=True)
    if not result.passed:
        console.print(f"[red]FAILED[/], repeat with --seed {seed}; logs and store are in {folder}", soft_wrap=True)
        return 1
    shutil.rmtree(folder)
    return 0


async def _bounded(size: Size, folder: Path, progress: Progress, seconds: float) -> Result:
    async with asyncio.timeout(seconds):
        return await run(size, folder, progress.show)


def _leaves(error: BaseException) -> list[BaseException]:
    """The errors inside groups of groups."""
    if not isinstance(error, BaseExceptionGroup):
        return [error]
    return [leaf for one in error.exceptions for leaf in _leaves(one)]


if __name__ == "__main__":
    sys.exit(main())
