"""`since=last` of 10,000 topics: cut off and resumed anywhere, asked for by a crowd, left half-way."""

import asyncio
import itertools
import random

import pytest

from slipstream.demo import flights
from slipstream.protocol.position import Position
from tests.integration.cluster import Cluster, text_of
from tests.integration.wire import Stream, until
from tests.servers import wait_until
from tests.sse import Parsed

pytestmark = pytest.mark.timeout(120)

TOPICS = 10_000
DATA = [text_of(event).encode() for event in itertools.islice(flights(), 1_000)]


async def store(cluster: Cluster, numbers: list[int]) -> list[int]:
    """An event for each topic of these numbers, in this order; their sequences."""
    found: list[int] = []
    for first in range(0, len(numbers), 100):
        part = numbers[first : first + 100]
        found += await asyncio.gather(*(cluster.put(f"flight.{one}", DATA[one % len(DATA)]) for one in part))
    return found


def seqs(events: list[Parsed]) -> list[int]:
    return [Position.parse(event.id).seq for event in events if not event.event.startswith("stream.")]


async def some(stream: Stream, count: int) -> list[Parsed]:
    """About so many of the stream's next events, ready and checkpoints among them."""
    ready, *events = await stream.take(1 + count)
    assert ready.event == "stream.ready"
    return events


async def test_a_reader_that_is_cut_off_half_way_goes_on_after_its_last_id(cluster: Cluster) -> None:
    """Three readers, each cut at places of its own, while topics go on changing.

    Until the first cut: the newest of each topic. After it: everything stored after that id, once and in order.
    """
    dice = random.Random(7)
    newest: dict[int, int] = {}

    async def change(numbers: list[int]) -> None:
        newest.update(zip(numbers, await store(cluster, numbers), strict=True))

    async with cluster.edge(ring_events=100) as running:
        port = running.server.port
        await change(dice.sample(range(TOPICS), TOPICS))
        await change(dice.sample(range(TOPICS), 700))
        for _ in range(3):
            snapshot = sorted(newest.values())
            stream = await cluster.stream(port, "since=last")
            got = await some(stream, dice.randrange(1, TOPICS))
            first = len(seqs(got))
            for _ in range(2):
                stream.wire.reset()
                await change(dice.sample(range(TOPICS), 50))
                stream = await cluster.stream(port, "since=last", f"Last-Event-ID: {got[-1].id}")
                left = max(newest.values()) - Position.parse(got[-1].id).seq
                got += await some(stream, dice.randrange(1, left))
            last = max(newest.values())
            while Position.parse(got[-1].id).seq < last:
                got += await stream.take()
            stream.wire.close()
            numbers = seqs(got)
            assert numbers[:first] == snapshot[:first]
            assert numbers[first:] == list(range(numbers[first - 1] + 1, last + 1))
            assert set(newest.values()) <= set(numbers)


async def test_a_crowd_shares_one_read_and_each_becomes_live(cluster: Cluster) -> None:
    topics, readers = 1_000, 60
    await store(cluster, list(range(topics)))
    async with cluster.edge() as running:
        made: list[str] = []
        client = cluster.api.link.client
        tap = await client.tap(
            f"$JS.EVENT.ADVISORY.CONSUMER.CREATED.SSE_{cluster.tenant}.*",
            lambda subject, *_: made.append(subject.rpartition(".")[2]),
        )
        loop = asyncio.get_running_loop()
        began = loop.time()
        streams = await asyncio.gather(*(cluster.stream(running.server.port, "since=last") for _ in range(readers)))
        most = 1 + int(loop.time() - began)
        again = await store(cluster, [5, 5, 7])

        async def read(stream: Stream) -> list[int]:
            return seqs((await stream.take(1 + topics + 3))[1:])

        for found in await asyncio.gather(*map(read, streams)):
            assert found == [*range(1, topics + 1), *again]
        await client.untap(tap)
        assert 1 <= len([name for name in made if name.startswith("last-")]) <= most


async def test_readers_that_leave_half_way_leave_nothing_behind(cluster: Cluster) -> None:
    await store(cluster, list(range(3_000)))
    async with cluster.edge() as running:
        hub = running.services.hub
        for _ in range(3):
            streams = [await cluster.stream(running.server.port, "since=last", rcvbuf=4096) for _ in range(10)]
            for stream in streams:
                await stream.one("stream.ready")
                stream.wire.reset()
        await until(lambda: len(hub.reactor) == 0, "they are gone")
        await until(lambda: len(hub.snapshots) == 0, "nothing is kept")
        assert hub.snapshots.bytes == 0

        async def forgotten() -> bool:
            names = (await cluster.api.call(f"CONSUMER.NAMES.SSE_{cluster.tenant}"))["consumers"]
            return not any(name.startswith("last-") for name in names)

        await wait_until(forgotten, seconds=10, what="its consumers are removed")
        stream = await cluster.stream(running.server.port, "since=last")
        assert seqs(await some(stream, 3_000)) == list(range(1, 3_001))
