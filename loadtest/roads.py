"""`python -m loadtest.roads`: real events by every road into the log, their rate beside plain nats-py, and the bytes.

Each road sends the same events in the same run, already encoded, from this process; what came out of the log is then
compared with what went in, byte for byte. Every round sends them by every road, so that a slow minute of the machine
meets all roads.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import itertools
import statistics
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import nats
import orjson

from loadtest.child import ChildFailed
from loadtest.command import carry_out, parser
from loadtest.measure import Settings, Show
from loadtest.monitoring import document
from loadtest.procfs import usage
from loadtest.result import Result
from loadtest.servers import TENANT, Stack, stack
from slipstream.app import connect
from slipstream.cli.dev.ports import HOST
from slipstream.demo import DemoEvent, flights
from slipstream.jetstream.publish import Publisher
from slipstream.log.store import Stored
from slipstream.protocol.publication import Publication
from slipstream.settings import Settings as SlipstreamSettings

BATCH: Final = 1_000
_CONNECTIONS: Final = 32
_PAGE: Final = 500
_ANSWER_SECONDS: Final = 30.0
_JSON: Final = "Content-Type: application/json"
_NDJSON: Final = "Content-Type: application/x-ndjson"
_CLOUDEVENTS: Final = "Content-Type: application/cloudevents-batch+json"

Event = tuple[str, str, bytes]
"""Topic, name, data."""


@dataclass(frozen=True, slots=True)
class Ground:
    """What a road leads over. events: as they are to come out; round: makes ids that no other round has."""

    servers: Stack
    events: Sequence[Event]
    round: int


Road = Callable[[Ground], Awaitable[float]]
"""Sends all events and answers the seconds from the first byte to the last acknowledgement."""


def flight(event: DemoEvent) -> Event:
    """An event as it lies in the log."""
    return event["topic"], event["event"], orjson.dumps(event["data"])


def batches(lines: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    """At most 1,000 at a time."""
    return (lines[at : at + BATCH] for at in range(0, len(lines), BATCH))


def encoded(event: Event) -> bytes:
    """As the one JSON object of a publish."""
    return b'{"topic":"%b","event":"%b","data":%b}' % (event[0].encode(), event[1].encode(), event[2])


def cloudevent(number: int, event: Event, source: str) -> bytes:
    """As a CloudEvent in JSON."""
    head = {"specversion": "1.0", "id": str(number), "source": source, "type": event[1], "subject": event[0]}
    return orjson.dumps(head)[:-1] + b',"data":%b}' % event[2]


async def plain(ground: Ground) -> float:
    """nats-py's own `publish_async`, 1,000 in flight: what all is measured by."""
    client = await nats.connect(ground.servers.nats_url)
    try:
        jetstream = client.jetstream(publish_async_max_pending=1_000)
        began = time.perf_counter()
        acks = [
            await jetstream.publish_async(f"sse.{TENANT}.{topic}", data, headers={"Sse-Event": name})
            for topic, name, data in ground.events
        ]
        await asyncio.gather(*acks)
        return time.perf_counter() - began
    finally:
        await client.close()


async def pipelined(ground: Ground) -> float:
    """As `slipstream publish --file` and the edge do."""
    settings = SlipstreamSettings(nats_url=ground.servers.nats_url)
    events = [Publication(topic, data, name) for topic, name, data in ground.events]
    async with connect(settings) as api:
        publisher = Publisher(api)
        began = time.perf_counter()
        outcomes = await publisher.publish_many(TENANT, events)
        seconds = time.perf_counter() - began
    if not all(isinstance(outcome, Stored) for outcome in outcomes):
        raise ChildFailed("an event was not stored by pipelined acks")
    return seconds


def posted(connections: int, bodies: Callable[[Ground], Sequence[bytes]], *headers: str) -> Road:
    """A road over HTTP. bodies: of all requests; they are taken in turn by so many connections."""

    async def send(ground: Ground) -> float:
        waiting = iter(bodies(ground))

        async def work() -> None:
            async with connection(ground.servers.port) as post:
                for body in waiting:
                    await post(body, headers)

        began = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for number in range(connections):
                group.create_task(work(), name=f"producer-{number}")
        return time.perf_counter() - began

    return send


def singles(ground: Ground) -> list[bytes]:
    """One event a body."""
    return [encoded(event) for event in ground.events]


def arrays(ground: Ground) -> list[bytes]:
    """Arrays of events."""
    return [b"[%b]" % b",".join(part) for part in batches(singles(ground))]


def ndjson(ground: Ground) -> list[bytes]:
    """Lines of events."""
    return [b"\n".join(part) for part in batches(singles(ground))]


def cloudevents(ground: Ground) -> list[bytes]:
    """Arrays of CloudEvents."""
    lines = [cloudevent(number, event, f"/roads/{ground.round}") for number, event in enumerate(ground.events)]
    return [b"[%b]" % b",".join(part) for part in batches(lines)]


ROADS: Final[dict[str, Road]] = {
    "plain nats-py, publish_async": plain,
    "slipstream publish, pipelined acks": pipelined,
    "HTTP, one by one, 1 connection": posted(1, singles, _JSON),
    f"HTTP, one by one, {_CONNECTIONS} connections": posted(_CONNECTIONS, singles, _JSON),
    f"HTTP, arrays of {BATCH:,}": posted(1, arrays, _JSON),
    f"HTTP, NDJSON of {BATCH:,}": posted(1, ndjson, _NDJSON),
    f"HTTP, gzip of {BATCH:,} lines": posted(
        1, lambda ground: [gzip.compress(body, 1) for body in ndjson(ground)], _NDJSON, "Content-Encoding: gzip"
    ),
    f"HTTP, {BATCH:,} CloudEvents with ids": posted(1, cloudevents, _CLOUDEVENTS),
}
_PLAIN: Final = next(iter(ROADS))

Post = Callable[[bytes, Sequence[str]], Awaitable[Any]]


@asynccontextmanager
async def connection(port: int) -> AsyncIterator[Post]:
    """One kept connection that posts bodies and answers documents. Raises ChildFailed for any status but 200."""
    reader, writer = await asyncio.open_connection(HOST, port)

    async def post(body: bytes, headers: Sequence[str]) -> Any:
        lines = (f"POST /v1/events?tenant={TENANT} HTTP/1.1", f"Host: {HOST}", f"Content-Length: {len(body)}", *headers)
        writer.write("\r\n".join((*lines, "", "")).encode() + body)
        async with asyncio.timeout(_ANSWER_SECONDS):
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
            answer = orjson.loads(await reader.readexactly(int(length.split(b":")[1])))
        failed = [result for result in answer.get("results", ()) if "error" in result]
        if failed or not head.startswith(b"HTTP/1.1 200"):
            raise ChildFailed(f"a publish was refused: {failed[0] if failed else answer}")
        return answer

    try:
        yield post
    finally:
        writer.close()


async def stored(servers: Stack, cursor: str | None) -> tuple[list[Event], str]:
    """What lies in the log after a position (None: all of it), in its order, and the position of the last."""
    found: list[Event] = []
    while True:
        where = "since=earliest" if cursor is None else f"last_event_id={cursor}"
        page = await document(servers.port, f"/v1/poll?tenant={TENANT}&limit={_PAGE}&{where}")
        cursor = str(page["cursor"])
        found += [(event["topic"], event["event"], event["data"].encode()) for event in page["events"]]
        if not page["more"]:
            return found, cursor


def faults(name: str, sent: Sequence[Event], found: Sequence[Event], *, ordered: bool) -> list[str]:
    """What must not happen, in words. ordered: the road has one producer, whose order the log has to keep."""
    if len(found) != len(sent):
        return [f"{name}: {len(found):,} events came out of {len(sent):,}"]
    pairs = zip(sent, found, strict=True) if ordered else zip(sorted(sent), sorted(found), strict=True)
    wrong = sum(one != other for one, other in pairs)
    return [f"{name}: {wrong:,} events came out otherwise than they went in"] if wrong else []


async def roads(settings: Settings, count: int, rounds: int, show: Show) -> Result:
    """Every road in every round; the figures are medians."""
    events = [flight(event) for event in itertools.islice(itertools.cycle(flights()), count)]
    rates: dict[str, list[float]] = {name: [] for name in ROADS}
    costs: dict[str, list[float]] = {name: [] for name in ROADS}
    found: list[str] = []
    cursor: str | None = None
    show("starting nats-server and the edge")
    async with stack(settings.cores, connections=_CONNECTIONS, store=settings.store, loop=settings.loop) as servers:
        for number in range(rounds):
            for name, road in ROADS.items():
                show(f"round {number + 1} of {rounds}: {name}")
                before = usage(servers.edge_pid)
                seconds = await road(Ground(servers, events, number))
                costs[name].append(1e6 * (usage(servers.edge_pid) - before).cpu / count)
                rates[name].append(count / seconds)
                came, cursor = await stored(servers, cursor)
                found += faults(name, events, came, ordered=str(_CONNECTIONS) not in name)
    medians = {name: statistics.median(each) for name, each in rates.items()}
    figures: dict[str, float | None] = {}
    for name, rate in medians.items():
        figures[f"{name}: events/s"] = rate
        figures[f"{name}: of plain nats-py"] = rate / medians[_PLAIN]
        if name.startswith("HTTP"):
            figures[f"{name}: edge CPU us per event"] = statistics.median(costs[name])
    best = max(rate for name, rate in medians.items() if name.startswith("HTTP"))
    title = (
        f"{count:,} real events by each road, {rounds} rounds; reached: the best over HTTP, in plain nats-py's rates"
    )
    return Result("roads", title, best / medians[_PLAIN], None, figures, faults=found)


def main(arguments: Sequence[str]) -> int:
    """Entry point."""
    made = parser("loadtest.roads", __doc__, connections=_CONNECTIONS)
    made.add_argument("--events", type=int, default=10_000, metavar="N", help="by each road (default 10,000)")
    made.add_argument("--rounds", type=int, default=3, metavar="N", help="of all roads (default 3)")
    options = made.parse_args(arguments)
    return carry_out("roads", options, lambda settings, show: _run(options, settings, show))


async def _run(options: argparse.Namespace, settings: Settings, show: Show) -> Result:
    return await roads(settings, options.events, options.rounds, show)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
