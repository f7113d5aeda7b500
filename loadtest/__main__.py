"""`python -m loadtest --scenario NAME`: run a load test, and write a report with plots."""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

from loadtest.bench import fitting
from loadtest.child import ChildFailed
from loadtest.command import REPOSITORY, until_told
from loadtest.display import Display
from loadtest.drive import drive
from loadtest.machine import available_cores, conditions, raise_descriptor_limit
from loadtest.markdown import write
from loadtest.measure import Settings
from loadtest.outcome import Outcome, judge
from loadtest.report import number
from loadtest.scenario import Scenario, ScenarioError, load, names
from slipstream.cli.dev.faults import DevError

REPORTS: Final = REPOSITORY / "loadtest" / "reports"
_LIST: Final = "list"


def parser() -> argparse.ArgumentParser:
    """The command line."""
    shipped = "; ".join(f"{name}: {load(name).description}" for name in names())
    made = argparse.ArgumentParser(prog="python -m loadtest", description=__doc__, epilog=f"Scenarios: {shipped}")
    made.add_argument(
        "--scenario", default="smoke", metavar="NAME|FILE", help="what to run; `list` tells what there is"
    )
    made.add_argument("--out", type=Path, metavar="DIR", help="of the report (default loadtest/reports/NAME)")
    made.add_argument("--seconds", type=float, help="publish for so long, in place of the scenario's time")
    made.add_argument("--connections", type=int, metavar="N", help="streams, in place of the scenario's number")
    made.add_argument("--readers", type=int, default=1, metavar="N", help="client processes that count (default 1)")
    made.add_argument("--loop", choices=["uvloop", "asyncio"], default="uvloop", help="of the edges (default uvloop)")
    made.add_argument("--store", type=Path, metavar="DIR", help="of nats-server; /dev/shm keeps its files in memory")
    made.add_argument("--no-wrk", action="store_true", help="do not measure how fast connections are opened")
    return made


def main(arguments: Sequence[str]) -> int:
    """Entry point: 0 when the run was without a fault, aims met or not; 1 with faults; 2 when it could not be run."""
    options = parser().parse_args(arguments)
    console, errors = Console(), Console(stderr=True)
    if options.scenario == _LIST:
        console.print(_listed())
        return 0
    if importlib.util.find_spec("matplotlib") is None:
        errors.print("loadtest: the plots need matplotlib; run `make setup`", highlight=False, markup=False)
        return 2
    limit = raise_descriptor_limit()
    try:
        scenario, remarks = _fitted(load(options.scenario), options, limit)
        outcome = _run(options, scenario, console, limit)
    except (KeyboardInterrupt, asyncio.CancelledError):
        return 130
    except (ScenarioError, ChildFailed, DevError) as error:
        errors.print(f"loadtest: {error}", highlight=False, markup=False, soft_wrap=True)
        return 2
    path = write(outcome, options.out or REPORTS / outcome.name, remarks)
    _show(console, outcome, path)
    return 1 if outcome.faults() else 0


def _fitted(scenario: Scenario, options: argparse.Namespace, limit: int) -> tuple[Scenario, list[str]]:
    """The scenario as the command line and the machine allow it, and what differs from the file."""
    wanted = options.connections or scenario.connections
    connections, processes = fitting(wanted, limit)
    options.readers = max(options.readers, processes)
    seconds = options.seconds or scenario.seconds
    changes: dict[str, object] = {}
    if connections != scenario.connections:
        # How many deliveries that makes depends on who has which topics: there is no telling what to aim at.
        aims = scenario.aims.model_copy(update={"deliveries_per_second": None})
        changes |= {"connections": connections, "aims": aims}
    if seconds != scenario.seconds:
        changes |= {"seconds": seconds, "kills": [kill for kill in scenario.kills if kill.at < seconds]}
        changes["settle"] = min(scenario.settle, seconds / 4)
    remarks = [f"`{name}` differs from the scenario's file" for name in changes]
    return Scenario.model_validate(dict(scenario) | changes), remarks


def _run(options: argparse.Namespace, scenario: Scenario, console: Console, limit: int) -> Outcome:
    placed = available_cores()
    os.sched_setaffinity(0, placed.others)  # The command itself stays off the edges' core, too.
    machine = conditions(REPOSITORY, placed) | {"loop": options.loop, "open files": f"{limit:,} a process"}
    settings = Settings(placed, scenario.seconds, options.readers, options.store, options.loop)
    name = Path(options.scenario).stem
    with Display(console, name, scenario) as display:
        work = drive(name, scenario, settings, machine, display, wrk=not options.no_wrk)
        return asyncio.run(until_told(work))


def _listed() -> Table:
    table = Table("scenario", "pods", "streams", "events/s", "seconds", "what it is", box=None, pad_edge=False)
    for name in names():
        one = load(name)
        figures = (f"{one.pods}", f"{one.connections:,}", f"{one.rate:g}", f"{one.seconds:g}")
        table.add_row(name, *figures, one.description)
    return table


def _show(console: Console, outcome: Outcome, path: Path) -> None:
    table = Table("", "aim", "reached", "", title=f"{outcome.name}: aims", title_justify="left")
    for one in judge(outcome.scenario.aims, outcome.reached()):
        table.add_row(one.what, str(one.aim), number(one.reached), "met" if one.met else "MISSED")
    console.print(table)
    for fault in outcome.faults():
        console.print(f"FAULT: {fault}", style="bold red", highlight=False)
    for note in outcome.notes():
        console.print(f"note: {note}", style="yellow", highlight=False)
    console.print(f"report: {path}", highlight=False, soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
