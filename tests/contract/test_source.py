"""Reads of a tenant's stream, each against what a real server answers."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from slipstream.jetstream.source import JetStreamSource
from slipstream.jetstream.subjects import stream_of
from slipstream.log.source import State
from slipstream.protocol.errors import Code, SlipstreamError
from slipstream.protocol.event import Record
from slipstream.protocol.topic import Filters
from tests.contract.pod import EVENT_BYTES, SHAPE, Pod, flights, freeze, until
from tests.servers import NatsServer, wait_until

_DAY_MS = 86_400_000


async def snapshot(source: JetStreamSource, *topics: str) -> list[list[Record]]:
    return [batch async for batch in source.snapshot(Filters.parse(topics))]


async def no_consumers(pod: Pod, tenant: str) -> None:
    async def none() -> bool:
        return not await pod.consumers(tenant)

    await wait_until(none, seconds=5.0, what="no consumer is left")


async def read_all(source: JetStreamSource, pattern: str = ">", limit: int = 100) -> list[Record]:
    found: list[Record] = []
    while True:
        batch = await source.read(pattern, found[-1].seq if found else 0, limit)
        if not batch.records:
            return found
        found += batch.records


# -- read and count ----------------------------------------------------------------------------------------------------


async def test_read_gives_what_was_published(pod: Pod, tenant: str) -> None:
    sent = list(flights(50))
    await pod.publish(tenant, sent)
    before = int(time.time() * 1000)
    batch = await pod.source(tenant).read(">", 0, 100)
    assert [(one.seq, one.topic, one.data) for one in batch.records] == [
        (number, one.topic, one.data) for number, one in enumerate(sent, 1)
    ]
    assert batch.pending == 0
    assert all(before - 10_000 < one.time_ms <= before for one in batch.records)


async def test_read_is_bounded_by_its_limit_and_says_what_is_left(pod: Pod, tenant: str) -> None:
    await pod.publish(tenant, flights(20))
    batch = await pod.source(tenant).read(">", 5, 7)
    assert [one.seq for one in batch.records] == [6, 7, 8, 9, 10, 11, 12]
    assert batch.pending == 8


async def test_read_takes_one_filter(pod: Pod, tenant: str) -> None:
    for topic in ("a.x", "b.x", "a.y", "a.x.deep", "b.y"):
        await pod.put(tenant, topic, b"1")
    source = pod.source(tenant)
    assert [one.seq for one in (await source.read("a.*", 0, 10)).records] == [1, 3]
    assert [one.seq for one in (await source.read("a.>", 0, 10)).records] == [1, 3, 4]
    assert [one.seq for one in (await source.read("*.y", 3, 10)).records] == [5]
    assert (await source.read("c", 0, 10)).records == []


async def test_read_at_and_beyond_the_end_is_empty(pod: Pod, tenant: str) -> None:
    source = pod.source(tenant)
    assert await source.read(">", 0, 10) == ([], 0)
    await pod.publish(tenant, flights(3))
    assert await source.read(">", 3, 10) == ([], 0)
    assert await source.read(">", 1000, 10) == ([], 0)


async def test_read_by_weight_leaves_nothing_out(pod: Pod, tenant: str) -> None:
    """256 KiB make a batch; what did not fit comes first in the next."""
    for number in range(30):
        await pod.put(tenant, "heavy", bytes([65 + number]) * 30_000)
    source = pod.source(tenant)
    first = await source.read(">", 0, 100)
    assert 5 < len(first.records) < 15
    assert first.pending == 30 - len(first.records)
    assert [(one.seq, one.data[0]) for one in await read_all(source)] == [(n + 1, 65 + n) for n in range(30)]


async def test_one_event_heavier_than_a_batch_is_read(pod: Pod, tenant: str) -> None:
    await pod.put(tenant, "small", b"1")
    await pod.put(tenant, "huge", b"x" * 900_000)
    await pod.put(tenant, "small", b"2")
    records = await read_all(pod.source(tenant, 1_000_000))
    assert [(one.seq, len(one.data)) for one in records] == [(1, 1), (2, 900_000), (3, 1)]


async def test_count(pod: Pod, tenant: str) -> None:
    source = pod.source(tenant)
    assert await source.count(">", 0) == 0
    for number in range(10):
        await pod.put(tenant, f"parity.{number % 2}", b"1")
    assert [await source.count(">", after) for after in (0, 1, 9, 10, 99)] == [10, 9, 1, 0, 0]
    assert [await source.count("parity.1", after) for after in (0, 1, 2, 9, 10)] == [5, 5, 4, 1, 0]
    assert await source.count("none", 0) == 0


# -- the leader's words ------------------------------------------------------------------------------------------------


async def test_state(pod: Pod, tenant: str) -> None:
    source = pod.source(tenant)
    empty = await source.state()
    assert (empty.first_seq, empty.last_seq, empty.last_time_ms) == (1, 0, None)
    await pod.publish(tenant, flights(4))
    state = await source.state()
    assert state == State(empty.epoch, 1, 4, await source.time_of(4))


async def test_last_match(pod: Pod, tenant: str) -> None:
    source = pod.source(tenant)
    assert await source.last_match(">") == 0
    for topic in ("a.x", "b.x", "a.y"):
        await pod.put(tenant, topic, b"1")
    assert [await source.last_match(one) for one in (">", "a.*", "*.x", "b.>", "c")] == [3, 3, 2, 2, 0]


async def test_time_of_is_of_exactly_that_event(pod: Pod, tenant: str) -> None:
    await pod.publish(tenant, flights(3))
    source = pod.source(tenant)
    records = await read_all(source)
    assert [await source.time_of(seq) for seq in (1, 2, 3)] == [one.time_ms for one in records]
    assert await source.time_of(4) is None


async def test_time_of_an_evicted_event_is_none(pod: Pod, tenant: str) -> None:
    await pod.ensure(tenant, SHAPE._replace(max_bytes=3_000))
    for _ in range(10):
        await pod.put(tenant, "a", b"x" * 800)
    source = pod.source(tenant)
    state = await source.state()
    assert 7 < state.first_seq <= 10
    assert await source.time_of(1) is None
    assert await source.time_of(state.first_seq) is not None
    assert [one.seq for one in await read_all(source)] == list(range(state.first_seq, 11))


async def test_first_since_is_exact_to_the_millisecond(pod: Pod, tenant: str) -> None:
    source = pod.source(tenant)
    assert await source.first_since(0) is None
    times: list[int] = []
    while len(times) < 3:
        seq = await pod.put(tenant, "a", b"1")
        stored = await source.time_of(seq)
        assert stored is not None
        if stored not in times:
            times.append(stored)
    records = await read_all(source)
    for time_ms in times:
        first = next(one.seq for one in records if one.time_ms >= time_ms)
        assert await source.first_since(time_ms) == first
        later = next((one.seq for one in records if one.time_ms > time_ms), None)
        assert await source.first_since(time_ms + 1) == later


@pytest.mark.parametrize("ahead_ms", [1_000, _DAY_MS, 300 * 366 * _DAY_MS, 7000 * 366 * _DAY_MS])
async def test_first_since_a_time_to_come_is_none(pod: Pod, tenant: str, ahead_ms: int) -> None:
    """Beyond the year 2262 the server's nanoseconds overflow, and it answers the first event."""
    await pod.publish(tenant, flights(2))
    assert await pod.source(tenant).first_since(int(time.time() * 1000) + ahead_ms) is None


@pytest.mark.parametrize("time_ms", [0, -1, -62_135_596_800_000])
async def test_first_since_long_ago_is_the_first_retained(pod: Pod, tenant: str, time_ms: int) -> None:
    await pod.publish(tenant, flights(2))
    assert await pod.source(tenant).first_since(time_ms) == 1


# -- the newest event of each topic ------------------------------------------------------------------------------------


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
    assert found == sorted(found)
    assert found[-1] == 100
    assert len(found) < 100


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
    assert pod.link.client._taps.keys() <= {pod.direct._inbox}


# -- what cannot be delivered ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("topic", "data", "headers", "why"),
    [
        ("a", b"caf\xe9", {}, "not UTF-8"),
        ("a", b"1", {"Sse-Event": "stream.gap"}, "reserved"),
        ("a", b"1", {"Sse-Event": "error"}, "reserved"),
        ("a", b"1", {"Sse-Event": "x" * 200}, "200 characters"),
        ("a", b"1", {"Sse-Key": "k" * 300}, "300 characters"),
        ("a", b"x" * (EVENT_BYTES + 1), {}, "publish a smaller event"),
        ("a*b", b"1", {}, "not a topic"),
        ("a.>x", b"1", {}, "not a topic"),
        ("a.b.c.d.e.f.g.h.i", b"1", {}, "9 tokens"),
        ("größe", b"1", {}, "not a topic"),
    ],
)
async def test_what_cannot_be_delivered_keeps_its_place_and_says_why(
    pod: Pod, tenant: str, topic: str, data: bytes, headers: dict[str, str], why: str
) -> None:
    await pod.put(tenant, "fine", b"1")
    await pod.put(tenant, topic, data, headers)
    await pod.put(tenant, "fine", b"3")
    source = pod.source(tenant)
    for records in (await read_all(source), [one for batch in await snapshot(source) for one in batch]):
        (bad,) = [one for one in records if one.fault is not None]
        assert (bad.seq, bad.topic, bad.event, bad.data) == (2, topic, "", b"")
        assert why in (bad.fault or "")
        assert records[-1].fault is None


async def test_headers_come_as_they_were_sent(pod: Pod, tenant: str) -> None:
    parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    headers = {"Sse-Event": "déjà vu 漢字", "Sse-Key": "Schlüssel:7", "traceparent": parent, "Other": "ignored"}
    await pod.put(tenant, "a", "grüße".encode(), headers)
    source = pod.source(tenant)
    for (record,) in ((await source.read(">", 0, 1)).records, *await snapshot(source)):
        assert (record.event, record.key, record.traceparent) == ("déjà vu 漢字", "Schlüssel:7", parent)
        assert record.data.decode() == "grüße"


# -- when the server does not answer -----------------------------------------------------------------------------------

Question = Callable[[JetStreamSource], Awaitable[object]]

QUESTIONS: dict[str, Question] = {
    "state": lambda source: source.state(),
    "read": lambda source: source.read(">", 0, 10),
    "count": lambda source: source.count(">", 0),
    "last_match": lambda source: source.last_match(">"),
    "first_since": lambda source: source.first_since(0),
    "time_of": lambda source: source.time_of(1),
    "snapshot": snapshot,
}


async def told(question: Awaitable[object]) -> tuple[SlipstreamError, float]:
    began = time.monotonic()
    with pytest.raises(SlipstreamError) as refused:
        await question
    return refused.value, time.monotonic() - began


@pytest.mark.parametrize("how", ["frozen", "dead"])
async def test_every_question_has_a_deadline(nats: NatsServer, pod: Pod, tenant: str, how: str) -> None:
    await pod.publish(tenant, flights(3))
    source = pod.source(tenant)
    pod.api.timeout = pod.direct._timeout = 0.5
    for question in QUESTIONS.values():
        await question(source)
    if how == "frozen":
        await freeze(nats)
    else:
        await nats.kill()
    answers = await asyncio.gather(*(told(question(source)) for question in QUESTIONS.values()))
    assert [error.code for error, _ in answers] == [Code.UPSTREAM_UNAVAILABLE] * len(QUESTIONS)
    assert all(error.retry_after for error, _ in answers)
    assert all(seconds < 3.0 for _, seconds in answers)
    if how == "frozen":
        nats.resume()
    else:
        await nats.start()
    await until(lambda: pod.link.up, "the pod is back")
    assert [one.seq for one in await read_all(source)] == [1, 2, 3]


async def test_a_snapshot_whose_server_dies_says_so(nats: NatsServer, pod: Pod, tenant: str) -> None:
    await asyncio.gather(*(pod.put(tenant, f"topic.{n}", b"1") for n in range(100)))
    pod.api.timeout = 0.5
    batches = pod.source(tenant).snapshot(Filters.parse([]))
    assert await anext(batches)
    await nats.kill()
    error, seconds = await told(anext(batches))
    assert error.code is Code.UPSTREAM_UNAVAILABLE
    assert seconds < 3.0


async def test_a_snapshot_whose_consumer_is_gone_says_so(pod: Pod, tenant: str) -> None:
    await asyncio.gather(*(pod.put(tenant, f"topic.{n}", b"1") for n in range(100)))
    batches = pod.source(tenant).snapshot(Filters.parse([]))
    assert await anext(batches)
    (name,) = await pod.consumers(tenant)
    await pod.api.call(f"CONSUMER.DELETE.{stream_of(tenant)}.{name}")
    error, _ = await told(anext(batches))
    assert error.code is Code.UPSTREAM_UNAVAILABLE


@pytest.mark.parametrize("question", [name for name in QUESTIONS if name != "state"])
async def test_without_a_stream_it_says_so(pod: Pod, question: str) -> None:
    error, _ = await told(QUESTIONS[question](pod.source("nobody")))
    assert error.code is Code.UPSTREAM_UNAVAILABLE
    assert "SSE_nobody" in error.message


async def test_the_state_of_a_missing_stream_is_not_found(pod: Pod) -> None:
    error, _ = await told(pod.source("nobody").state())
    assert error.code is Code.NOT_FOUND
    assert "apply the tenant again" in error.message


async def test_a_read_that_is_cancelled_as_its_answer_comes_is_cancelled(pod: Pod, tenant: str) -> None:
    """`asyncio.wait_for` of Python 3.11 would return the answer and forget that somebody wanted to end."""
    await pod.publish(tenant, flights(1))
    source = pod.source(tenant)
    await source.read(">", 0, 1)
    taps = pod.link.client._taps
    ((tap, take),) = taps.items()

    def take_and_cancel(*message: Any) -> None:
        take(*message)
        reading.cancel()

    taps[tap] = take_and_cancel
    reading = asyncio.create_task(source.read(">", 0, 1))
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert not pod.direct._flights
