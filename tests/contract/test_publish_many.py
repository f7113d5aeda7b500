"""Many events in flight: in their order, bounded, each with its own outcome."""

import asyncio
import gc
import time
from collections.abc import Iterator
from itertools import cycle, islice

import orjson
import pytest

from slipstream import demo
from slipstream.jetstream import pipeline
from slipstream.jetstream import stream as streams
from slipstream.log.store import Outcome, Stored
from slipstream.protocol.errors import Code, SlipstreamError
from slipstream.protocol.message_id import message_id
from slipstream.protocol.publication import Publication
from tests.contract.pod import Pod, ended, freeze, until
from tests.contract.reading import read_all
from tests.servers import NatsServer, wait_until


def flights(count: int) -> list[Publication]:
    """Real flights, each with an id."""
    events: Iterator[demo.DemoEvent] = islice(cycle(demo.flights()), count)
    return [
        Publication(event["topic"], orjson.dumps(event["data"]), event["event"], None, message_id("test", str(number)))
        for number, event in enumerate(events)
    ]


def seqs(outcomes: list[Outcome]) -> list[int]:
    assert all(isinstance(outcome, Stored) for outcome in outcomes), outcomes
    return [outcome.seq for outcome in outcomes if isinstance(outcome, Stored)]


def refused(outcome: Outcome) -> SlipstreamError:
    assert isinstance(outcome, SlipstreamError), outcome
    return outcome


async def test_all_are_stored_in_their_order_and_a_retry_stores_none_twice(pod: Pod, tenant: str) -> None:
    events = flights(3_000)
    first = await pod.publisher.publish_many(tenant, events)
    assert seqs(first) == list(range(1, 3_001))
    records = await read_all(pod.source(tenant))
    assert [(one.topic, one.event, one.data) for one in records] == [(one.topic, one.event, one.data) for one in events]
    again = await pod.publisher.publish_many(tenant, events)
    assert again == [outcome._replace(duplicate=True) for outcome in first if isinstance(outcome, Stored)]
    assert (await pod.source(tenant).state()).last_seq == 3_000


async def test_what_is_in_flight_is_bounded_whoever_sends(
    pod: Pod, tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = pod.publisher._pipeline._waiting
    most, forget = 0, pod.publisher._pipeline._forget

    def counted(token: str) -> object:
        nonlocal most
        most = max(most, len(waiting))
        return forget(token)

    monkeypatch.setattr(pod.publisher._pipeline, "_forget", counted)
    await asyncio.gather(*(pod.publisher.publish_many(tenant, flights(400)) for _ in range(4)))
    assert most == pipeline.IN_FLIGHT
    assert not waiting


async def test_one_that_is_refused_fails_none_of_its_neighbours(pod: Pod, tenant: str) -> None:
    events = flights(5)
    events[2] = Publication("big", b"x" * 2_000_000)
    outcomes = await pod.publisher.publish_many(tenant, events)
    assert seqs(outcomes[:2] + outcomes[3:]) == [1, 2, 3, 4]
    assert (refused(outcomes[2]).code, refused(outcomes[2]).status) == (Code.BAD_REQUEST, 413)


async def test_behind_one_that_nobody_acknowledged_nothing_is_sent(
    nats: NatsServer, pod: Pod, tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("slipstream.jetstream.pipeline.SECONDS", 0.5)
    events = flights(2_000)
    await pod.publisher.publish_many(tenant, events[:1])
    await freeze(nats)
    began = time.monotonic()
    outcomes = await pod.publisher.publish_many(tenant, events)
    assert time.monotonic() - began < 3.0
    assert {refused(outcome).code for outcome in outcomes} == {Code.UPSTREAM_UNAVAILABLE}
    assert {refused(outcome).retry_after for outcome in outcomes} == {2.0}
    unsent = [outcome for outcome in outcomes if "not sent" in refused(outcome).message]
    assert len(unsent) > 500
    assert outcomes[-len(unsent) :] == unsent
    nats.resume()
    await until(lambda: pod.link.up, "the pod is back")
    monkeypatch.undo()
    # What was sent is stored by now, what was not is not: trying all of it again stores each once.
    assert seqs(await pod.publisher.publish_many(tenant, events)) == list(range(1, 2_001))
    assert (await pod.source(tenant).state()).last_seq == 2_000


async def test_while_nats_is_away_many_are_told_as_soon_as_one(nats: NatsServer, pod: Pod, tenant: str) -> None:
    pod.api.timeout = 0.5
    await freeze(nats)
    began = time.monotonic()
    outcomes = await asyncio.gather(*(pod.publisher.publish_many(tenant, flights(3)) for _ in range(200)))
    assert time.monotonic() - began < 4.0
    assert {refused(one).code for outcome in outcomes for one in outcome} == {Code.UPSTREAM_UNAVAILABLE}
    nats.resume()


async def test_a_request_that_takes_too_long_ends_in_time(
    pod: Pod, tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("slipstream.jetstream.publish._SENDING_SECONDS", 0.02)
    events = flights(20_000)
    outcomes = await pod.publisher.publish_many(tenant, events)
    kept = [outcome for outcome in outcomes if isinstance(outcome, Stored)]
    assert outcomes[: len(kept)] == kept
    assert all("not sent" in refused(outcome).message for outcome in outcomes[len(kept) :])
    assert 0 < len(kept) < 20_000
    assert (await pod.source(tenant).state()).last_seq == len(kept)


async def test_without_a_stream_the_first_ends_it(pod: Pod, tenant: str) -> None:
    await pod.publisher.publish_many(tenant, flights(1))
    await streams.remove(pod.api, tenant)
    outcomes = await pod.publisher.publish_many(tenant, flights(1_000))
    assert "no stream takes the events" in refused(outcomes[0]).message
    assert "not sent" in refused(outcomes[-1]).message
    assert not pod.publisher._pipeline._waiting


async def test_a_replaced_connection_goes_on(pod: Pod, tenant: str) -> None:
    assert seqs(await pod.publisher.publish_many(tenant, flights(3))) == [1, 2, 3]
    await pod.link._replace("a test")
    assert seqs(await pod.publisher.publish_many(tenant, flights(6))) == [1, 2, 3, 4, 5, 6]


async def test_whoever_gives_up_leaves_no_room_taken(pod: Pod, tenant: str) -> None:
    sending = asyncio.create_task(pod.publisher.publish_many(tenant, flights(5_000)), name="giving-up")
    await until(lambda: bool(pod.publisher._pipeline._waiting), "it is under way")
    await ended(sending)  # type: ignore[arg-type]
    await until(lambda: not pod.publisher._pipeline._waiting, "all acknowledged or forgotten")
    # The task that was cancelled keeps its frames, and the room in them.
    (room,) = pod.publisher._pipeline._rooms.values()
    assert room._value == pipeline.IN_FLIGHT
    del sending, room
    gc.collect()
    assert not pod.publisher._pipeline._rooms


async def test_a_stream_that_acknowledges_nothing_makes_only_its_own_tenant_wait(pod: Pod, tenant: str) -> None:
    """As one replica's does on a node that has just died; here somebody else takes the subject, and says nothing."""
    silent = f"{tenant}-silent"
    await pod.ensure(silent)
    await pod.publisher.publish_many(silent, flights(1))
    await streams.remove(pod.api, silent)
    await pod.feed_link.client.subscribe(f"sse.{silent}.>")
    await pod.feed_link.client.flush()
    stuck = asyncio.create_task(pod.publisher.publish_many(silent, flights(2_000)), name="stuck")
    waiting = pod.publisher._pipeline._waiting
    await until(lambda: len(waiting) == pipeline.IN_FLIGHT, "it has all that it may have")
    assert seqs(await pod.publisher.publish_many(tenant, flights(2_000))) == list(range(1, 2_001))
    assert len(waiting) == pipeline.IN_FLIGHT, "all that time it had no answer"
    await ended(stuck)  # type: ignore[arg-type]


async def test_an_answer_that_is_none_fails_one_publish_and_no_more(pod: Pod, tenant: str) -> None:
    """A stream that somebody made by hand with a responder of its own on the subject."""

    async def lie(message: object) -> None:
        await pod.feed_link.client.publish(message.reply, b"hello")  # type: ignore[attr-defined]

    await pod.publisher.publish(tenant, "orders", b"1")
    await streams.remove(pod.api, tenant)
    await pod.feed_link.client.subscribe(f"sse.{tenant}.orders", cb=lie)
    await pod.feed_link.client.flush()

    async def told() -> bool:
        """Where the server forgets the stream later than it says so, nobody answers the first ones."""
        outcome = await (await pod.publisher.send(tenant, Publication("orders", b"1")))
        return "none of JetStream's" in refused(outcome).message

    await wait_until(told, seconds=10, what="the answer of the other responder is told")
    assert not pod.publisher._pipeline._waiting
