"""`python -m loadtest.snapshot`: many readers at once ask for the newest event of each of 10,000 topics (`since=last`).

Told is how many JetStream consumers and requests to NATS that takes, how long it takes until all have every topic and
are live, and whether each got every event once: those of the snapshot and those that are published behind it.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import nats
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.api import PubAck

from loadtest.bench import fitting
from loadtest.child import child
from loadtest.command import carry_out, parser
from loadtest.machine import raise_descriptor_limit
from loadtest.measure import TARGET, Settings, Show
from loadtest.monitoring import requests
from loadtest.payload import templates
from loadtest.procfs import usage
from loadtest.result import Result
from loadtest.returning import Plan
from loadtest.servers import TENANT, Stack, stack
from loadtest.storm import faults, until, written
from slipstream.cli.dev.ports import HOST
from slipstream.demo import flights

_PAYLOAD: Final = 170
_IN_FLIGHT: Final = 1_000
_LATER: Final = 20
_SNAPSHOT_SECONDS: Final = 120.0
_LAST_SECONDS: Final = 30.0
_NATS_SECONDS: Final = 10.0
_CREATED: Final = f"$JS.EVENT.ADVISORY.CONSUMER.CREATED.SSE_{TENANT}.*"


@dataclass(frozen=True, slots=True)
class Load:
    """readers ask at once for the newest of so many topics."""

    readers: int
    topics: int


async def snapshot(settings: Settings, load: Load, show: Show) -> Result:
    """One crowd."""
    show("starting nats-server and the edge")
    async with stack(settings.cores, connections=load.readers, store=settings.store, loop=settings.loop) as servers:
        connection = await nats.connect(servers.nats_url, connect_timeout=int(_NATS_SECONDS))
        try:
            return await _crowd(settings, load, servers, connection, show)
        finally:
            await connection.close()


async def _crowd(settings: Settings, load: Load, servers: Stack, connection: Client, show: Show) -> Result:
    made: list[str] = []

    async def count(advisory: Msg) -> None:
        made.append(advisory.subject.rpartition(".")[2])

    await connection.subscribe(_CREATED, cb=count)
    show(f"publishing to {load.topics:,} topics")
    await publish(connection, range(load.topics))
    plan = Plan(HOST, servers.port, f"{TARGET}&since=last", [""] * load.readers, [load.topics] * load.readers)
    asked, edge = await requests(servers), usage(servers.edge_pid)
    argv = [sys.executable, "-m", "loadtest.returning", str(written(plan, servers.folder))]
    cores = settings.cores.others
    async with child("returning", argv, folder=servers.folder, cores=cores, pipes=True) as clients:
        await until(clients, lambda found: found.over, _SNAPSHOT_SECONDS, show)
        asked, cpu = await requests(servers) - asked, (usage(servers.edge_pid) - edge).cpu
        await publish(connection, range(_LATER))
        due = (load.topics + _LATER) * load.readers
        found = await until(clients, lambda found: sum(found.counts) >= due, _LAST_SECONDS, show)
    consumers = sum(name.startswith("last-") for name in made)
    return Result(
        "snapshot",
        f"{load.readers:,} readers ask at once for the newest of each of {load.topics:,} topics",
        found.last / 1e9,
        None,
        {
            "seconds until all are live": found.last / 1e9,
            "JetStream consumers made": float(consumers),
            "requests to NATS": float(asked),
            "requests to NATS for each reader": asked / load.readers,
            "first event, p50, ms": _ms(found.first.percentile(50)),
            "first event, p99, ms": _ms(found.first.percentile(99)),
            "live, p50, ms": _ms(found.whole.percentile(50)),
            "live, p99, ms": _ms(found.whole.percentile(99)),
            "MiB sent to them": found.bytes / 2**20,
            "edge CPU, seconds": cpu,
            "edge CPU us for each event": 1e6 * cpu / (load.topics * load.readers),
            "readers whose order was looked at": float(-(-load.readers // plan.inspect)),
        },
        faults=faults(found, plan.due, _LATER),
    )


async def publish(connection: Client, topics: Sequence[int]) -> None:
    """A real flight to each topic of these numbers. Returns when all are stored; raises what was not."""
    context = connection.jetstream(timeout=_NATS_SECONDS, publish_async_max_pending=_IN_FLIGHT)
    events = itertools.cycle(templates(flights()))
    room = asyncio.Semaphore(_IN_FLIGHT)
    acks: list[asyncio.Future[PubAck]] = []
    for number, event in zip(topics, events, strict=False):
        await room.acquire()
        subject = f"sse.{TENANT}.flights.last.{number}"
        ack = await context.publish_async(subject, event.stamped(time.monotonic_ns(), _PAYLOAD))
        ack.add_done_callback(lambda _: room.release())
        acks.append(ack)
    async with asyncio.timeout(_NATS_SECONDS):
        await asyncio.gather(*acks)


def _ms(ns: float | None) -> float | None:
    return None if ns is None else ns / 1e6


def main(arguments: Sequence[str]) -> int:
    """Entry point."""
    made = parser("loadtest.snapshot", __doc__, connections=200)
    made.add_argument("--topics", type=int, default=10_000, metavar="N", help="topics (default 10,000)")
    options = made.parse_args(arguments)
    return carry_out("snapshot", options, lambda settings, show: _run(options, settings, show))


async def _run(options: argparse.Namespace, settings: Settings, show: Show) -> Result:
    readers, _ = fitting(options.connections, raise_descriptor_limit())
    return await snapshot(settings, Load(readers, options.topics), show)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
