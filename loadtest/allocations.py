"""`python -m loadtest.allocations`: heap allocations for each delivered event, counted, not estimated.

The same events are delivered to as many readers by Slipstream's tail and reactor, and by a server with a queue for each
client. Each runs in a process of its own (`loadtest.counted`) with PYTHONMALLOC=malloc, so that every object is an
allocation of glibc, and with a preloaded counter of those (`baseline/count_allocations.c`). The readers count, too: a
delivery that did not arrive makes the run fail.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import orjson
from rich.console import Console
from rich.table import Table

from loadtest import readers
from loadtest.bench import fitting
from loadtest.child import Child, ChildFailed, child
from loadtest.compiled import NotCompiled, compiled
from loadtest.counted import WAYS, Plan
from loadtest.machine import Cores, available_cores, raise_descriptor_limit
from loadtest.worker import reader_process
from slipstream.cli.dev.ports import HOST

AIM: Final = 0.73
"""The least share of a queue-per-client server's allocations that we do without."""

_SOURCE: Final = Path(__file__).resolve().parent / "baseline" / "count_allocations.c"
_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Count:
    """What was counted of one way."""

    way: str
    allocations: int
    deliveries: int

    @property
    def each(self) -> float:
        """Allocations for one delivery."""
        return self.allocations / self.deliveries


def saved(ours: Count, theirs: Count) -> float:
    """The share of their allocations for a delivery that we do without; below 0 we need more."""
    return 1 - ours.each / theirs.each


async def counts(plans: Sequence[Plan], cores: Cores) -> list[Count]:
    """Run one plan after the other. Raises ChildFailed, also where not every event arrived, and NotCompiled."""
    with tempfile.TemporaryDirectory(prefix="slipstream-allocations-") as name:
        folder = Path(name)
        counter = await asyncio.to_thread(compiled, _SOURCE, folder, "-shared", "-fPIC")
        env = {**os.environ, "PYTHONMALLOC": "malloc", "LD_PRELOAD": str(counter)}
        return [await _count(plan, folder, cores, env) for plan in plans]


async def _count(plan: Plan, folder: Path, cores: Cores, env: dict[str, str]) -> Count:
    argv = [sys.executable, "-m", "loadtest.counted", orjson.dumps(asdict(plan)).decode()]
    due = plan.connections * plan.events
    async with child(plan.way, argv, folder=folder, cores=cores.edge, env=env, pipes=True) as server:
        port = await _told(server)
        reading = readers.Plan(HOST, port, "/", plan.connections, inspect=False)
        async with reader_process(reading, name=f"{plan.way}-readers", folder=folder, cores=cores.others) as group:
            opened = await group.until(lambda report: report.opening == 0, _SECONDS, "open its connections")
            if opened.live != plan.connections:
                raise server.failure(f"has {opened.live} of {plan.connections} streams: {dict(opened.received.failed)}")
            await _go(server)
            allocations = await _told(server)
            await group.until(lambda report: report.received.events >= due, _SECONDS, f"get all {due:,} events")
    return Count(plan.way, allocations, due)


async def _told(server: Child) -> int:
    """The next number that the process writes."""
    stdout = server.process.stdout
    try:
        async with asyncio.timeout(_SECONDS):
            line = await stdout.readline() if stdout else b""
    except TimeoutError as error:
        raise server.failure(f"told nothing for {_SECONDS:g} s") from error
    if not line:
        raise server.failure("ended too early")
    return int(line)


async def _go(server: Child) -> None:
    if server.process.stdin:
        server.process.stdin.write(b"go\n")
        await server.process.stdin.drain()


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(prog="python -m loadtest.allocations", description=__doc__)
    made.add_argument("--connections", type=int, default=500, metavar="N", help="streams (default 500)")
    made.add_argument("--events", type=int, default=300, metavar="N", help="events, one after the other (default 300)")
    made.add_argument("--json", type=Path, metavar="FILE", help="write everything to this file, too")
    return made


def main(arguments: Sequence[str]) -> int:
    """Entry point: 0 when everything was delivered and counted, the aim reached or not; 1 otherwise."""
    options = parser().parse_args(arguments)
    connections, _ = fitting(options.connections, raise_descriptor_limit())
    console = Console()
    plans = [Plan(way, connections, options.events) for way in WAYS]
    try:
        with console.status("counting"):
            ours, theirs = asyncio.run(counts(plans, available_cores()))
    except KeyboardInterrupt:
        return 130
    except (ChildFailed, NotCompiled) as error:
        Console(stderr=True).print(f"allocations: {error}", highlight=False, markup=False, soft_wrap=True)
        return 1
    table = Table("", "allocations", "deliveries", "for each delivery", title="Heap allocations")
    for count in (ours, theirs):
        table.add_row(count.way, f"{count.allocations:,}", f"{count.deliveries:,}", f"{count.each:.3f}")
    console.print(table)
    share = saved(ours, theirs)
    verdict = "reached" if share >= AIM else "missed"
    console.print(f"{share:.1%} fewer than with a queue for each client; aim >= {AIM:.0%}: {verdict}", highlight=False)
    if options.json:
        found = {"counts": [asdict(count) for count in (ours, theirs)], "saved": share, "aim": AIM}
        options.json.write_bytes(orjson.dumps(found, option=orjson.OPT_INDENT_2) + b"\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
