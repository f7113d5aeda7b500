"""Reads of a tenant's stream, each against what a real server answers."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from slipstream.jetstream.source import JetStreamSource
from slipstream.log.source import State
from slipstream.protocol.errors import Code
from tests.contract.pod import EVENT_BYTES, SHAPE, Pod, flights, freeze, until
from tests.contract.reading import read_all, refusal, snapshot
from tests.servers import NatsServer

_DAY_MS = 86_400_000


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
    answers = await asyncio.gather(*(refusal(question(source)) for question in QUESTIONS.values()))
    assert [error.code for error, _ in answers] == [Code.UPSTREAM_UNAVAILABLE] * len(QUESTIONS)
    assert all(error.retry_after for error, _ in answers)
    assert all(seconds < 3.0 for _, seconds in answers)
    if how == "frozen":
        nats.resume()
    else:
        await nats.start()
    await until(lambda: pod.link.up, "the pod is back")
    assert [one.seq for one in await read_all(source)] == [1, 2, 3]


@pytest.mark.parametrize("question", [name for name in QUESTIONS if name != "state"])
async def test_without_a_stream_it_says_so(pod: Pod, question: str) -> None:
    error, _ = await refusal(QUESTIONS[question](pod.source("nobody")))
    assert error.code is Code.UPSTREAM_UNAVAILABLE
    assert "SSE_nobody" in error.message


async def test_the_state_of_a_missing_stream_is_not_found(pod: Pod) -> None:
    error, _ = await refusal(pod.source("nobody").state())
    assert error.code is Code.NOT_FOUND
    assert "apply the tenant again" in error.message


async def test_a_read_that_is_cancelled_as_its_answer_comes_is_cancelled(pod: Pod, tenant: str) -> None:
    """`asyncio.wait_for` of Python 3.11 would return the answer and forget that somebody wanted to end."""
    await pod.publish(tenant, flights(1))
    source = pod.source(tenant)
    await source.read(">", 0, 1)
    taps = pod.link.client._taps
    tap, take = list(taps.items())[-1]

    def take_and_cancel(*message: Any) -> None:
        take(*message)
        reading.cancel()

    taps[tap] = take_and_cancel
    reading = asyncio.create_task(source.read(">", 0, 1))
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert not pod.direct._flights
