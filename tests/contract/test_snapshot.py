"""The newest event of each topic, read through a consumer while the stream goes on."""

import asyncio
from typing import Any

import pytest

from slipstream.jetstream.subjects import stream_of
from slipstream.protocol.errors import Code
from slipstream.protocol.event import Record
from slipstream.protocol.topic import Filters
from tests.contract.pod import SHAPE, Pod
from tests.contract.reading import no_consumers, refusal, snapshot
from tests.servers import NatsServer


async def test_snapshot_is_the_last_of_each_topic_in_order(pod: Pod, tenant: str) -> None:
    source = pod.source(tenant)
    assert await snapshot(source) == []
    for number, topic in enumerate(("a.x", "b.x", "a.x", "a.y", "b.x"), 1):
        await pod.put(tenant, topic, b"%d" % number, {"Sse-Event": f"e{number}"})
    (batch,) = await snapshot(source)
    assert [(one.seq, one.topic, one.event, one.data) for one in batch] == [
        (3, "a.x", "e3", b"3"),
        (4, "a.y", "e4", b"4"),
        (5, "b.x", "e5", b"5"),
    ]
    assert batch[0].time_ms == await source.time_of(3)


async def test_snapshot_of_several_filters(pod: Pod, tenant: str) -> None:
    for topic in ("a.x", "b.x", "a.y", "c.z"):
        await pod.put(tenant, topic, b"1")
    source = pod.source(tenant)
    # The two match a.x both.
    ((*overlapping,),) = await snapshot(source, "a.*", "*.x")
    assert [one.seq for one in overlapping] == [1, 2, 3]
    assert await snapshot(source, "d.>") == []
    await no_consumers(pod, tenant)


async def test_snapshot_of_3000_topics(pod: Pod, tenant: str) -> None:
    """`multi_last` answers 413."""
    for first in range(0, 3000, 500):
        await asyncio.gather(*(pod.put(tenant, f"topic.{n}", b"%d" % n) for n in range(first, first + 500)))
    await pod.put(tenant, "topic.0", b"again")
    batches = await snapshot(pod.source(tenant))
    assert max(map(len, batches)) <= 256
    records = [one for batch in batches for one in batch]
    assert [one.seq for one in records] == sorted(one.seq for one in records)
    assert {one.topic: one.data for one in records} == {f"topic.{n}": b"%d" % n if n else b"again" for n in range(3000)}
    assert len(records) == 3000


async def test_snapshot_of_heavy_events_leaves_none_out(pod: Pod, tenant: str) -> None:
    """A consumer that is asked for at most so many bytes skips the event that does not fit (nats-server 2.15.1)."""
    sizes = [10, 900_000, 10, *[100_000] * 12, 10]
    for number, size in enumerate(sizes):
        await pod.put(tenant, f"topic.{number}", b"x" * size)
    batches = await snapshot(pod.source(tenant, 1_000_000))
    assert [len(one.data) for batch in batches for one in batch] == sizes
    assert max(sum(len(one.data) for one in batch) for batch in batches) < 2_500_000


async def test_snapshot_ends_although_events_are_evicted_meanwhile(pod: Pod, tenant: str) -> None:
    await asyncio.gather(*(pod.put(tenant, f"topic.{n}", b"x" * 100) for n in range(100)))
    found: list[int] = []

    async def collect() -> None:
        async for batch in pod.source(tenant).snapshot(Filters.parse([])):
            if not found:
                await pod.ensure(tenant, SHAPE._replace(max_bytes=2_000))
            found.extend(one.seq for one in batch)

    await asyncio.wait_for(collect(), 10.0)
    first = (await pod.source(tenant).state()).first_seq
    assert 20 < first < 100
    assert found == [*range(1, 17), *range(first, 101)]


async def test_snapshot_ends_although_events_keep_coming(pod: Pod, tenant: str) -> None:
    await asyncio.gather(*(pod.put(tenant, f"topic.{n}", b"old") for n in range(40)))
    found: list[Record] = []
    async for batch in pod.source(tenant).snapshot(Filters.parse([])):
        found += batch
        await asyncio.gather(*(pod.put(tenant, f"topic.{n}", b"new") for n in range(40)))
    assert len(found) == 40
    # Whatever it leaves out is newer than all it has.
    assert [one.seq for one in found] == sorted(one.seq for one in found)


async def test_a_snapshot_that_is_broken_off_leaves_nothing_behind(pod: Pod, tenant: str) -> None:
    await asyncio.gather(*(pod.put(tenant, f"topic.{n}", b"1") for n in range(100)))
    batches = pod.source(tenant).snapshot(Filters.parse([]))
    assert await anext(batches)
    await batches.aclose()
    await no_consumers(pod, tenant)
    assert pod.link.client._taps == {}


async def test_a_snapshot_that_nobody_waits_for_while_it_is_made_leaves_nothing_behind(pod: Pod, tenant: str) -> None:
    await asyncio.gather(*(pod.put(tenant, f"topic.{n}", b"1") for n in range(100)))
    for turns in range(8):
        batches = pod.source(tenant).snapshot(Filters.parse([]))
        asking = asyncio.ensure_future(anext(batches))
        for _ in range(turns):
            await asyncio.sleep(0)
        asking.cancel()
        await asyncio.wait({asking}, timeout=5.0)
    await no_consumers(pod, tenant)
    assert pod.link.client._taps == {}


async def test_a_consumer_that_is_made_late_for_nobody_is_removed_all_the_same(
    pod: Pod, tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server works on requests side by side (nats-server #6342): what was sent later may be done first."""
    call = pod.api.call
    made = asyncio.Event()

    async def late(subject: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        async def sent() -> dict[str, Any]:
            await asyncio.sleep(0.1)
            try:
                return await call(subject, body)
            finally:
                made.set()

        return await asyncio.shield(sent())

    monkeypatch.setattr(pod.api, "call", late)
    asking = asyncio.ensure_future(anext(pod.source(tenant).snapshot(Filters.parse([]))))
    await asyncio.sleep(0.02)
    for _ in range(3):
        # Whoever ends it may ask more than once, as a supervisor does.
        asking.cancel()
        await asyncio.sleep(0)
    await asyncio.wait({asking}, timeout=5.0)
    assert asking.cancelled()
    monkeypatch.undo()
    await asyncio.wait_for(made.wait(), 5.0)
    await no_consumers(pod, tenant)
    assert pod.link.client._taps == {}


async def test_a_snapshot_whose_server_dies_says_so(nats: NatsServer, pod: Pod, tenant: str) -> None:
    await asyncio.gather(*(pod.put(tenant, f"topic.{n}", b"1") for n in range(100)))
    pod.api.timeout = 0.5
    batches = pod.source(tenant).snapshot(Filters.parse([]))
    assert await anext(batches)
    await nats.kill()
    error, seconds = await refusal(anext(batches))
    assert error.code is Code.UPSTREAM_UNAVAILABLE
    assert seconds < 3.0


async def test_a_snapshot_whose_consumer_is_gone_says_so(pod: Pod, tenant: str) -> None:
    await asyncio.gather(*(pod.put(tenant, f"topic.{n}", b"1") for n in range(100)))
    batches = pod.source(tenant).snapshot(Filters.parse([]))
    assert await anext(batches)
    (name,) = await pod.consumers(tenant)
    await pod.api.call(f"CONSUMER.DELETE.{stream_of(tenant)}.{name}")
    error, _ = await refusal(anext(batches))
    assert error.code is Code.UPSTREAM_UNAVAILABLE
