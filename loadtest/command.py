"""What the commands of the load test have in common: options, progress, and an end that leaves nothing behind."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any, Final, TypeVar

import orjson
from rich.console import Console
from rich.status import Status

from loadtest import report
from loadtest.child import ChildFailed
from loadtest.machine import available_cores, conditions, raise_descriptor_limit
from loadtest.measure import Settings, Show
from loadtest.result import Result
from slipstream.cli.dev.faults import DevError

T = TypeVar("T")

REPOSITORY: Final = Path(__file__).resolve().parent.parent


def parser(module: str, doc: str | None, *, connections: int, seconds: float | None = None) -> argparse.ArgumentParser:
    """The command line of a command with one workload, with its usual size. seconds: None where nobody sets them."""
    made = argparse.ArgumentParser(prog=f"python -m {module}", description=doc)
    made.add_argument(
        "--connections", type=int, default=connections, metavar="N", help=f"streams (default {connections:,})"
    )
    if seconds is None:
        made.set_defaults(seconds=0.0)
    else:
        made.add_argument("--seconds", type=float, default=seconds, help=f"how long to measure (default {seconds:g})")
    made.add_argument("--readers", type=int, default=1, metavar="N", help="reader processes (default 1)")
    made.add_argument("--loop", choices=["uvloop", "asyncio"], default="uvloop", help="of the edge (default uvloop)")
    made.add_argument("--store", type=Path, metavar="DIR", help="of nats-server; /dev/shm keeps its files in memory")
    made.add_argument("--json", type=Path, metavar="FILE", help="write everything to this file, too")
    return made


def carry_out(name: str, options: argparse.Namespace, work: Callable[[Settings, Show], Awaitable[Result]]) -> int:
    """Run `work`, print its result; 0 when it ran without a fault, aim reached or not, else 1."""
    console = Console()
    limit = raise_descriptor_limit()
    placed = available_cores()
    os.sched_setaffinity(0, placed.others)  # The command itself stays off the edge's core, too.
    machine = conditions(REPOSITORY, placed) | {"loop": options.loop, "open files": f"{limit:,} a process"}
    settings = Settings(placed, options.seconds, options.readers, options.store, options.loop)

    async def main() -> Result:
        with console.status(name) as status:
            return await work(settings, teller(console, status, name))

    try:
        result = asyncio.run(until_told(main()))
    except (KeyboardInterrupt, asyncio.CancelledError):
        return 130
    except (ChildFailed, DevError) as error:
        Console(stderr=True).print(f"{name}: {error}", highlight=False, markup=False, soft_wrap=True)
        return 1
    report.show(console, machine, [result])
    if options.json:
        options.json.write_bytes(orjson.dumps(report.document(machine, [result]), option=orjson.OPT_INDENT_2) + b"\n")
    return 1 if result.faults else 0


def teller(console: Console, status: Status, name: str) -> Show:
    """Shows the newest news on a terminal; elsewhere a line for each phase, which is what stands before a colon."""
    phase = ""

    def show(text: str) -> None:
        nonlocal phase
        status.update(f"{name}: {text}")
        before, phase = phase, text.partition(":")[0]
        if not console.is_terminal and phase != before:
            console.print(f"{name}: {phase}", highlight=False, soft_wrap=True)

    return show


async def until_told(work: Coroutine[Any, Any, T]) -> T:
    """Run `work`; SIGTERM cancels it as Ctrl-C does, so that no server is left behind."""
    task = asyncio.ensure_future(work)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await task
