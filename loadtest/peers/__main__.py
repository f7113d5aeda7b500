"""`python -m loadtest.peers`: run Slipstream and its peers in turn under the same loads, and print the ratios."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import orjson
from rich.console import Console

from loadtest.bench import fitting
from loadtest.command import REPOSITORY, teller, until_told
from loadtest.machine import Cores, available_cores, conditions, raise_descriptor_limit
from loadtest.measure import Settings, Show
from loadtest.peers import report
from loadtest.peers.compare import REFERENCE, Trial
from loadtest.peers.peer import Peer
from loadtest.peers.registry import BASELINE, PEERS
from loadtest.peers.trial import LOADS, Load, measured
from slipstream.cli.dev.faults import DevError


def parser() -> argparse.ArgumentParser:
    """The command line."""
    choices = [load.name for load in LOADS] + [peer.name for peer in (*PEERS, BASELINE)]
    made = argparse.ArgumentParser(prog="python -m loadtest.peers", description=__doc__)
    made.add_argument(
        "--only",
        action="append",
        default=[],
        choices=choices,
        metavar="NAME",
        help=f"one peer or one workload, may be repeated: {', '.join(choices)}",
    )
    made.add_argument("--connections", type=int, default=1000, metavar="N", help="streams (default 1,000)")
    made.add_argument("--seconds", type=float, default=6.0, help="how long to measure each time (default 6)")
    made.add_argument("--rounds", type=int, default=2, metavar="N", help="how often everybody has a turn (default 2)")
    made.add_argument("--store", type=Path, metavar="DIR", help="of nats-server; /dev/shm keeps its files in memory")
    made.add_argument("--json", type=Path, metavar="FILE", help="write everything to this file, too")
    return made


def chosen(only: Sequence[str]) -> list[tuple[Load, list[Peer]]]:
    """The workloads with the peers that have turns in each; Slipstream has one in all of them."""
    loads = [load for load in LOADS if load.name in only] or list(LOADS)
    picked = {peer.name for peer in (*PEERS, BASELINE) if peer.name in only}
    plan = []
    for load in loads:
        peers = [*PEERS, BASELINE] if load.name == "single" else list(PEERS)
        plan.append((load, [peer for peer in peers if not picked or peer.name in picked | {REFERENCE}]))
    return plan


async def run(options: argparse.Namespace, settings: Settings, connections: int, show: Show) -> dict[str, list[Trial]]:
    """All trials by workload; everybody has a turn in each round, so that what else the machine does meets all."""
    plan = chosen(options.only)
    results: dict[str, list[Trial]] = {load.name: [] for load, _ in plan}
    for number in range(1, options.rounds + 1):
        for load, peers in plan:
            for peer in peers:
                where = f"round {number} of {options.rounds}, {load.name}, {peer.name}"
                results[load.name].append(await measured(peer, load, settings, connections, _telling(show, where)))
    return results


def _telling(show: Show, where: str) -> Show:
    return lambda text: show(f"{where}: {text}")


def main(arguments: Sequence[str]) -> int:
    """Entry point: 0 when Slipstream ran everywhere and lost nothing, whoever is ahead; 1 otherwise."""
    options = parser().parse_args(arguments)
    console = Console()
    if not console.is_terminal:
        console.width = 120  # The tables are wider than what is assumed of a file.
    limit = raise_descriptor_limit()
    connections, _ = fitting(options.connections, limit)
    placed: Cores = available_cores()
    os.sched_setaffinity(0, placed.others)  # The command itself stays off the servers' core, too.
    machine = conditions(REPOSITORY, placed)
    machine |= {"each trial": f"{connections:,} streams, {options.seconds:g} s, {options.rounds} rounds"}
    settings = Settings(placed, options.seconds, store=options.store)

    async def work() -> dict[str, list[Trial]]:
        with console.status("starting") as status:
            return await run(options, settings, connections, teller(console, status, "peers"))

    try:
        results = asyncio.run(until_told(work()))
    except (KeyboardInterrupt, asyncio.CancelledError):
        return 130
    except DevError as error:
        Console(stderr=True).print(f"peers: {error}", highlight=False, markup=False, soft_wrap=True)
        return 1
    titles = {load.name: f"{connections:,} streams, {load.title}" for load in LOADS}
    report.show(console, machine, results, titles)
    if options.json:
        options.json.write_bytes(orjson.dumps(report.document(machine, results), option=orjson.OPT_INDENT_2) + b"\n")
    ours = [trial for trials in results.values() for trial in trials if trial.peer == REFERENCE]
    return 1 if any(trial.failure or trial.lost for trial in ours) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
