"""`python -m loadtest.bench`: run the workloads one after the other and print what was reached."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import orjson
from rich.console import Console

from loadtest import report
from loadtest.child import ChildFailed
from loadtest.command import REPOSITORY, teller, until_told
from loadtest.machine import Cores, available_cores, conditions, raise_descriptor_limit
from loadtest.measure import Settings
from loadtest.result import Result
from loadtest.servers import SPARE_CONNECTIONS
from loadtest.workloads import WORKLOADS
from slipstream.cli.dev.faults import DevError

_EDGE_RESERVE: Final = 512
"""Descriptors that the edge keeps for itself and for streams that are being handed over."""
_READER_RESERVE: Final = 64


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(prog="python -m loadtest.bench", description=__doc__)
    made.add_argument("--only", action="append", choices=list(WORKLOADS), help="one workload; may be repeated")
    made.add_argument("--connections", type=int, metavar="N", help="streams, in place of each workload's own number")
    made.add_argument("--seconds", type=float, default=12.0, help="how long to measure (default 12)")
    made.add_argument("--readers", type=int, default=1, metavar="N", help="reader processes (default 1)")
    made.add_argument("--loop", choices=["uvloop", "asyncio"], default="uvloop", help="of the edge (default uvloop)")
    made.add_argument("--store", type=Path, metavar="DIR", help="of nats-server; /dev/shm keeps its files in memory")
    made.add_argument("--json", type=Path, metavar="FILE", help="write everything to this file, too")
    return made


def fitting(connections: int, limit: int) -> tuple[int, int]:
    """How many streams a descriptor limit per process allows, and how many reader processes they take at least."""
    allowed = min(connections, limit - _EDGE_RESERVE - SPARE_CONNECTIONS)
    if allowed < 1:
        raise SystemExit(f"a limit of {limit} open files is too low for any stream: raise it with `ulimit -Hn`")
    return allowed, -(-allowed // (limit - _READER_RESERVE))


async def run(
    options: argparse.Namespace, console: Console, limit: int, placed: Cores
) -> tuple[list[Result], list[str]]:
    """The results of the chosen workloads, and what could not be done as asked."""
    results, remarks = [], []
    for name, (workload, usual) in WORKLOADS.items():
        if options.only and name not in options.only:
            continue
        wanted = options.connections or usual
        connections, processes = fitting(wanted, limit)
        if connections < wanted:
            remarks.append(f"{name}: {connections:,} streams, not {wanted:,}: a process may have {limit:,} open files")
        settings = Settings(placed, options.seconds, max(processes, options.readers), options.store, options.loop)
        with console.status(name) as status:
            results.append(await workload(settings, connections, teller(console, status, name)))
    return results, remarks


def main(arguments: Sequence[str]) -> int:
    """Entry point: 0 when every workload ran without a fault, aims reached or not; 1 otherwise."""
    options = parser().parse_args(arguments)
    console = Console()
    limit = raise_descriptor_limit()
    placed = available_cores()
    os.sched_setaffinity(0, placed.others)  # The bench itself stays off the edge's core, too.
    machine = conditions(REPOSITORY, placed) | {"loop": options.loop, "open files": f"{limit:,} a process"}
    try:
        results, remarks = asyncio.run(until_told(run(options, console, limit, placed)))
    except (KeyboardInterrupt, asyncio.CancelledError):
        return 130
    except (ChildFailed, DevError) as error:
        Console(stderr=True).print(f"bench: {error}", highlight=False, markup=False, soft_wrap=True)
        return 1
    report.show(console, machine, results)
    for remark in remarks:
        console.print(f"not as asked: {remark}", highlight=False)
    if options.json:
        options.json.write_bytes(orjson.dumps(report.document(machine, results), option=orjson.OPT_INDENT_2) + b"\n")
    return 1 if any(result.faults for result in results) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
