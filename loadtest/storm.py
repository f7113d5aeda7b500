"""`python -m loadtest.storm`: thousands of clients come back at once, with ids spread over the last events.

They had been reading, so the edge has its ring; what it does not cover comes from NATS. Events go on being published
meanwhile. Told is how long it takes until all have what they had missed and are live, how many requests to NATS that
takes, and whether every client got each event once.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

import orjson

from loadtest import publisher
from loadtest.bench import fitting
from loadtest.child import Child, ChildFailed, child
from loadtest.command import carry_out, parser
from loadtest.guard import SPEC, Guard
from loadtest.machine import raise_descriptor_limit
from loadtest.measure import TARGET, Settings, Show, open_streams
from loadtest.monitoring import document, requests
from loadtest.procfs import usage
from loadtest.result import Result
from loadtest.returning import Plan, Storm, read
from loadtest.servers import TENANT, stack
from loadtest.tally import PublisherReport, ReaderReport
from loadtest.worker import Worker, publisher_process
from slipstream.cli.dev.ports import HOST

_SEED: Final = 5
_PAGE: Final = 500
_FILL_RATE: Final = 2000.0
_FILL_SECONDS: Final = 120.0
_START_SECONDS: Final = 20.0
_STORM_SECONDS: Final = 300.0
_LAST_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True)
class Load:
    """clients come back with ids of the last `events` events, while `rate` events a second are published.

    tokens: whether the edge wants one, and each client has its own, which the edge has never seen.
    """

    clients: int
    events: int
    rate: float
    tokens: bool = False


async def storm(settings: Settings, load: Load, show: Show) -> Result:
    """One storm."""
    if not load.tokens:
        return await _storm(settings, load, None, show)
    with Guard.made() as guard:
        return await _storm(settings, load, guard, show)


async def _storm(settings: Settings, load: Load, guard: Guard | None, show: Show) -> Result:
    show("starting nats-server and the edge")
    target = TARGET if guard is None else guard.opens(TARGET)
    served = stack(
        settings.cores,
        connections=load.clients + 1,
        store=settings.store,
        loop=settings.loop,
        settings=None if guard is None else guard.settings,
        spec=None if guard is None else SPEC,
    )
    async with (
        served as servers,
        # A witness: it keeps the edge's ring filled, as the clients did before they were cut off.
        open_streams(settings, servers, 1, show, target) as (witness,),
        publisher_process(
            publisher.Plan(servers.nats_url, TENANT), folder=servers.folder, cores=settings.cores.others
        ) as feed,
    ):
        await _publish(feed, witness, load.events, show)
        ids = await known_ids(lambda path: document(servers.port, path), show, target)
        show("making tokens")
        tokens = None if guard is None else [guard.token(f"client-{number}") for number in range(load.clients)]
        plan = replace(spread(ids, load, servers.port), tokens=tokens)
        asked, edge = await requests(servers), usage(servers.edge_pid)
        await feed.command(f"rate {load.rate}")
        argv = [sys.executable, "-m", "loadtest.returning", str(written(plan, servers.folder))]
        cores = settings.cores.others
        async with child("returning", argv, folder=servers.folder, cores=cores, pipes=True) as clients:
            await until(clients, lambda found: found.over, _STORM_SECONDS, show)
            asked, cpu = await requests(servers) - asked, (usage(servers.edge_pid) - edge).cpu
            await feed.command("rate 0")
            published = (await feed.report()).published
            later = published.sent - len(ids)
            due = sum(plan.due) + later * load.clients
            found = await until(clients, lambda found: sum(found.counts) >= due, _LAST_SECONDS, show)
        seen = (await witness.report()).received
    delivered = sum(found.counts)
    return Result(
        "storm",
        f"{load.clients:,} clients {'with new tokens ' if load.tokens else ''}come back at once, ids over the last"
        f" {load.events:,} events",
        found.last / 1e9,
        None,
        {
            "seconds until all are live": found.last / 1e9,
            "requests to NATS": float(asked),
            "requests to NATS for each client": asked / load.clients,
            "first event, p50, ms": _ms(found.first.percentile(50)),
            "first event, p99, ms": _ms(found.first.percentile(99)),
            "live, p50, ms": _ms(found.whole.percentile(50)),
            "live, p99, ms": _ms(found.whole.percentile(99)),
            "events sent to them": float(delivered),
            "MiB sent to them": found.bytes / 2**20,
            "edge CPU, seconds": cpu,
            "edge CPU us for each event": 1e6 * cpu / delivered if delivered else None,
            "clients whose order was looked at": float(-(-load.clients // plan.inspect)),
        },
        faults=[
            *faults(found, plan.due, later),
            *([f"{published.sent - seen.events:,} events that the witness lost"] * (published.sent != seen.events)),
        ],
    )


def faults(found: Storm, due: Sequence[int], later: int) -> list[str]:
    """What must not happen, in words. `due`: what each client had missed at first; `later` were published since."""
    off = [count - missed - later for count, missed in zip(found.counts, due, strict=True)]
    inspected = found.inspected
    wrong = {
        "events lost": -sum(each for each in off if each < 0),
        "events too many": sum(each for each in off if each > 0),
        "clients that never had all": len(due) - found.caught_up,
        "events out of order": inspected.disordered,
        "events missing in sequence": inspected.missing,
        "gap frames": inspected.gaps,
        "error frames": sum(inspected.errors.values()),
    }
    told = [f"{count:,} {what}" for what, count in wrong.items() if count]
    return told + [f"{count:,} x {reason}" for reason, count in found.failed.items()]


def spread(ids: Sequence[str], load: Load, port: int) -> Plan:
    """Clients whose ids lie evenly over the last events, in no order; each knows how many events it has missed."""
    last = min(load.events, len(ids) - 1)
    missed = [1 + number * last // load.clients for number in range(load.clients)]
    random.Random(_SEED).shuffle(missed)
    return Plan(HOST, port, TARGET, [ids[-1 - count] for count in missed], missed)


async def known_ids(ask: Callable[[str], Awaitable[dict[str, object]]], show: Show, target: str = TARGET) -> list[str]:
    """The ids of all retained events, oldest first, read with polls; `ask` answers a path with its JSON object."""
    ids: list[str] = []
    where = "since=earliest"
    while True:
        show(f"reading ids: {len(ids):,}")
        page = await ask(f"{target.replace('/v1/events', '/v1/poll')}&limit={_PAGE}&{where}")
        events = page["events"]
        if not isinstance(events, list):
            raise ChildFailed(f"a page without events: {page}")
        ids += [event["id"] for event in events]
        where = f"last_event_id={page['cursor']}"
        if not page["more"]:
            return ids


async def _publish(feed: Worker[PublisherReport], witness: Worker[ReaderReport], events: int, show: Show) -> None:
    """Publish more than so many events, and wait until the witness had them all."""
    show(f"publishing {events:,} events")
    await feed.until(lambda _: True, _START_SECONDS, "connect")
    await feed.command(f"rate {_FILL_RATE}")
    await feed.until(lambda report: report.published.sent > events, _FILL_SECONDS, f"publish {events:,} events")
    await feed.command("rate 0")
    sent = (await feed.report()).published.sent
    await witness.until(lambda report: report.received.events >= sent, _LAST_SECONDS, f"get {sent:,} events")


def written(plan: Plan, folder: Path) -> Path:
    """The file in `folder` that has the plan."""
    path = folder / "returning.json"
    path.write_bytes(orjson.dumps(asdict(plan)))
    return path


async def until(clients: Child, wanted: Callable[[Storm], bool], seconds: float, show: Show) -> Storm:
    """The first report that is wanted, else the last within so many seconds. Raises ChildFailed without any."""
    found = None
    stdout = clients.process.stdout
    try:
        async with asyncio.timeout(seconds):
            while stdout and (line := await stdout.readline()):
                found = read(line)
                show(
                    f"coming back: {found.streaming:,} streams, {found.caught_up:,} of {len(found.counts):,} are live, "
                    f"{sum(found.counts):,} events"
                )
                if wanted(found):
                    return found
    except TimeoutError:
        if found is not None:
            return found
    raise clients.failure("told nothing")


def _ms(ns: float | None) -> float | None:
    return None if ns is None else ns / 1e6


def main(arguments: Sequence[str]) -> int:
    """Entry point."""
    made = parser("loadtest.storm", __doc__, connections=5_000)
    made.add_argument("--events", type=int, default=10_000, metavar="N", help="ids are of the last N (default 10,000)")
    made.add_argument("--rate", type=float, default=20, help="events a second meanwhile (default 20)")
    made.add_argument("--tokens", action="store_true", help="each client has a token of its own, new to the edge")
    options = made.parse_args(arguments)
    return carry_out("storm", options, lambda settings, show: _run(options, settings, show))


async def _run(options: argparse.Namespace, settings: Settings, show: Show) -> Result:
    clients, _ = fitting(options.connections, raise_descriptor_limit())
    return await storm(settings, Load(clients, options.events, options.rate, options.tokens), show)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
