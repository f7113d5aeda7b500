"""The live feed through the faults of a server: everything once, in order, and nothing left behind."""

import asyncio
import logging
import time
from typing import Any

import pytest

from slipstream.jetstream import stream as streams
from slipstream.jetstream.follow import Follower
from slipstream.jetstream.subjects import stream_of
from slipstream.protocol.control import Reason
from slipstream.protocol.errors import SlipstreamError
from slipstream.protocol.event import Record
from tests.contract.pod import Message, Pod, Recording, flights, following, freeze, running, until
from tests.contract.reading import no_consumers
from tests.servers import NatsServer, wait_until


async def publish_stubbornly(pod: Pod, tenant: str, messages: list[Message]) -> list[int]:
    """Publish one after the other, each until it is acked: as a producer that wants nothing lost does."""
    acked = []
    for topic, data, message_id in messages:
        while True:
            try:
                stored = await pod.publisher.publish(tenant, topic, data, message_id=message_id)
            except SlipstreamError as error:
                if error.retry_after is None:
                    raise
                await asyncio.sleep(0.05)
            else:
                acked.append(stored.seq)
                break
    return acked


async def consumer(pod: Pod, tenant: str) -> dict[str, Any]:
    """What the server says of the one consumer there is."""
    (name,) = await pod.consumers(tenant)
    return await pod.api.call(f"CONSUMER.INFO.{stream_of(tenant)}.{name}")


# -- the usual day -----------------------------------------------------------------------------------------------------


async def test_it_begins_at_the_head_and_gives_records_as_they_were_sent(pod: Pod, tenant: str) -> None:
    await pod.publish(tenant, flights(5))
    state = await pod.source(tenant).state()
    parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    async with following(pod, tenant) as sink:
        await pod.publisher.publish(
            tenant, "a.b", "grüße".encode(), event="déjà vu", key="Schlüssel", message_id="1", traceparent=parent
        )
        await pod.put(tenant, "plain", b"")
        await pod.put(tenant, "bad*topic", b"\xff")
        await sink.has(3)
    assert sink.told == [(state, 5, state.last_time_ms, None, 0)]
    first, second, third = sink.records
    assert first == Record(6, first.time_ms, "a.b", "déjà vu", "grüße".encode(), "Schlüssel", parent)
    assert second == Record(7, second.time_ms, "plain", "", b"")
    assert (third.seq, third.topic, third.data) == (8, "bad*topic", b"")
    assert third.fault is not None
    assert [one.time_ms for one in sink.records] == [await pod.source(tenant).time_of(seq) for seq in (6, 7, 8)]


async def test_a_burst_comes_in_order(pod: Pod, tenant: str) -> None:
    async with following(pod, tenant) as sink:
        await asyncio.gather(*(pod.put(tenant, one.topic, one.data) for one in flights(2000)))
        await sink.has(2000)
    assert sink.seqs == list(range(1, 2001))
    assert sink.reasons == [None]


async def test_its_consumer_is_cheap_named_and_bound_to_a_literal_inbox(pod: Pod, tenant: str) -> None:
    async with following(pod, tenant):
        await until(lambda: bool(pod.feed_link.client._taps), "it listens")

        async def bound() -> bool:
            names = await pod.consumers(tenant)
            return bool(names) and bool((await consumer(pod, tenant)).get("push_bound"))

        await wait_until(bound, seconds=5.0, what="the consumer is bound")
        found = await consumer(pod, tenant)
    config = found["config"]
    assert found["name"].startswith("edge-pod-1-")
    assert not set(config["deliver_subject"]) & {"*", ">"}
    expected = {"ack_policy": "none", "mem_storage": True, "num_replicas": 1, "max_deliver": 1}
    assert {key: config[key] for key in expected} == expected
    assert config["idle_heartbeat"] == 1_000_000_000
    assert "filter_subject" not in config
    assert "filter_subjects" not in config


async def test_why_the_inbox_is_literal(pod: Pod, tenant: str) -> None:
    """A subscription with a wildcard is no interest for JetStream: nothing is delivered, and nobody says so."""
    await pod.publish(tenant, flights(3))
    taken: list[str] = []
    client = pod.link.client
    inbox = client.new_inbox()
    await client.tap(f"{inbox}.*", lambda subject, *_: taken.append(subject))
    config = {"name": "wild", "deliver_subject": f"{inbox}.1", "ack_policy": "none", "mem_storage": True}
    body = {"stream_name": stream_of(tenant), "config": config, "action": "create"}
    await pod.api.call(f"CONSUMER.CREATE.{stream_of(tenant)}.wild", body)
    found = await consumer(pod, tenant)
    await client.flush()
    assert (found.get("push_bound"), found["num_pending"], taken) == (None, 3, [])


async def test_nothing_is_left_on_the_server_when_it_ends(pod: Pod, tenant: str) -> None:
    async with following(pod, tenant) as sink:
        await pod.publish(tenant, flights(1))
        await sink.has(1)
        assert len(await pod.consumers(tenant)) == 1
        assert len(pod.feed_link._restored) == 1
    await no_consumers(pod, tenant)
    assert pod.feed_link.client._taps == {}
    assert pod.feed_link._restored == []


async def test_a_stop_that_comes_together_with_a_wake_up_is_not_forgotten(pod: Pod, tenant: str) -> None:
    """`asyncio.wait_for` of Python 3.11 would forget it, and the feed would go on without anybody who knows of it."""
    sink = Recording()
    follower = pod.follower(tenant, sink)
    task = asyncio.create_task(follower.run())
    await asyncio.wait_for(follower.feed.attached.wait(), 5.0)
    await until(lambda: bool(follower.feed._wake._waiters), "it waits")
    follower.feed._wake.set()
    task.cancel()
    done, _ = await asyncio.wait({task}, timeout=2.0)
    assert done
    assert task.cancelled()


async def test_without_a_stream_it_waits_and_then_begins(pod: Pod) -> None:
    sink = Recording()
    follower = pod.follower("late", sink)
    async with running(follower):
        assert sink.told == []
        await pod.ensure("late")
        await asyncio.wait_for(follower.feed.attached.wait(), 5.0)
        await pod.publish("late", flights(3))
        await sink.has(3)
    assert sink.seqs == [1, 2, 3]
    assert sink.reasons == [None]


async def test_what_it_waits_for_is_said_once(pod: Pod, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="slipstream.jetstream.feed")

    def levels() -> list[int]:
        return [record.levelno for record in caplog.records if "cannot start" in record.getMessage()]

    async with running(pod.follower("nowhere", Recording())):
        await until(lambda: len(levels()) > 2, "three attempts")
        assert levels()[:3] == [logging.WARNING, logging.DEBUG, logging.DEBUG]


async def test_without_a_server_it_waits_and_then_begins(nats: NatsServer, tenant: str) -> None:
    pod = Pod(nats.url, "early")
    sink = Recording()
    async with running(pod.follower(tenant, sink)), pod:
        await sink.began()
        await pod.publish(tenant, flights(3))
        await sink.has(3)
    assert sink.seqs == [1, 2, 3]
    assert sink.reasons == [None]


# -- the server --------------------------------------------------------------------------------------------------------


async def test_a_server_killed_under_a_publisher_loses_and_repeats_nothing(
    nats: NatsServer, pod: Pod, tenant: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # A request that was under way when the server died is given up after this long; 5 s would only make the test long.
    monkeypatch.setattr("slipstream.jetstream.pipeline.SECONDS", 1.0)
    messages = list(flights(1000))
    async with following(pod, tenant) as sink:
        publishing = asyncio.create_task(publish_stubbornly(pod, tenant, messages))
        await sink.has(200)
        await nats.kill()
        before, away = len(sink.records), time.monotonic()
        await nats.start()
        back = time.monotonic()
        await sink.has(before + 1)
        recovered = time.monotonic()
        acked = await asyncio.wait_for(publishing, 20.0)
        await sink.has(1000)
    assert before < 1000, "the server was killed too late"
    assert sink.seqs == list(range(1, 1001))
    assert [one.data for one in sink.records] == [one.data for one in messages]
    assert acked == sink.seqs
    assert sink.reasons == [None]
    with capsys.disabled():
        print(f"\n  server away {back - away:.2f} s, next event {recovered - back:.2f} s after it was back")  # noqa: T201 - for people


async def test_a_server_frozen_for_three_seconds_loses_and_repeats_nothing(
    nats: NatsServer, pod: Pod, tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("slipstream.jetstream.pipeline.SECONDS", 1.0)
    messages = list(flights(500))
    async with following(pod, tenant) as sink:
        publishing = asyncio.create_task(publish_stubbornly(pod, tenant, messages))
        await sink.has(100)
        await freeze(nats)
        frozen = time.monotonic()
        await until(lambda: time.monotonic() - frozen > 3.0, "three seconds")
        nats.resume()
        acked = await asyncio.wait_for(publishing, 20.0)
        await sink.has(500)
    assert sink.seqs == list(range(1, 501))
    assert [one.data for one in sink.records] == [one.data for one in messages]
    assert acked == sink.seqs
    assert sink.reasons == [None]


async def test_an_idle_feed_survives_a_restart(nats: NatsServer, pod: Pod, tenant: str) -> None:
    await pod.publish(tenant, flights(5))
    follower = pod.follower(tenant, sink := Recording())
    async with running(follower):
        await sink.began()
        await nats.kill()
        await nats.start()
        await until(lambda: follower.feed.resets == 1, "it begins again")
        await until(lambda: pod.link.up, "the pod is back")
        await pod.publish(tenant, flights(2))
        await sink.has(2)
    assert sink.seqs == [6, 7]
    assert sink.reasons == [None]


async def test_a_consumer_deleted_behind_our_back_is_made_again(pod: Pod, tenant: str) -> None:
    async with following(pod, tenant) as sink:
        await pod.publish(tenant, flights(3))
        await sink.has(3)
        (name,) = await pod.consumers(tenant)
        await pod.api.call(f"CONSUMER.DELETE.{stream_of(tenant)}.{name}")
        await pod.publish(tenant, flights(4))
        await sink.has(7)
        (other,) = await pod.consumers(tenant)
    assert other != name
    assert sink.seqs == list(range(1, 8))
    assert sink.reasons == [None]


async def test_a_hole_in_the_consumers_numbers_is_filled_from_the_stream(pod: Pod, tenant: str) -> None:
    """As the server leaves one when it drops what a connection does not read."""
    follower = pod.follower(tenant, sink := Recording())
    async with running(follower):
        await asyncio.wait_for(follower.feed.attached.wait(), 5.0)
        await pod.publish(tenant, flights(3))
        await sink.has(3)
        taps = pod.feed_link.client._taps
        ((tap, take),) = taps.items()
        dropped: list[str] = []

        def drop_one(subject: str, *rest: Any) -> None:
            if not dropped and subject.startswith("sse."):
                dropped.append(subject)
            else:
                take(subject, *rest)

        taps[tap] = drop_one
        await pod.publish(tenant, flights(3))
        await sink.has(6)
    assert len(dropped) == 1
    assert follower.feed.resets == 1
    assert sink.seqs == list(range(1, 7))
    assert sink.reasons == [None]


async def test_the_last_message_before_silence_is_missed_by_the_heartbeat(pod: Pod, tenant: str) -> None:
    follower = pod.follower(tenant, sink := Recording())
    async with running(follower):
        await asyncio.wait_for(follower.feed.attached.wait(), 5.0)
        taps = pod.feed_link.client._taps
        ((tap, take),) = taps.items()
        taps[tap] = lambda subject, *rest: None if subject.startswith("sse.") else take(subject, *rest)
        await pod.publish(tenant, flights(1))
        await sink.has(1)
    assert follower.feed.resets == 1
    assert sink.seqs == [1]


# -- what must not be silent -------------------------------------------------------------------------------------------


class Once(Recording):
    """Fails at one record, as a fault of ours would."""

    def append(self, record: Record) -> None:
        if record.seq == 3:
            raise RuntimeError("a fault of ours")
        super().append(record)


async def test_an_event_that_fails_in_this_process_is_told(
    pod: Pod, tenant: str, caplog: pytest.LogCaptureFixture
) -> None:
    sink = Once()
    async with running(pod.follower(tenant, sink)):
        await sink.began()
        await pod.publish(tenant, flights(5))
        await sink.has(4)
    assert sink.seqs == [1, 2, 4, 5]
    assert sink.reasons == [None, Reason.undeliverable]
    assert (sink.told[1].base, sink.told[1].after) == (3, 2)
    assert "event 3" in caplog.text
    caplog.clear()


async def test_a_stream_made_anew_while_the_consumer_was_made_is_noticed(
    pod: Pod, tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The consumer of the new stream would wait, with heartbeats and all, for the old stream's next number."""
    await pod.publish(tenant, flights(20))
    follower = pod.follower(tenant, sink := Recording())
    replace_after_locating(monkeypatch, pod, follower, tenant)
    async with running(follower):
        await sink.has(5)
    assert sink.seqs == [1, 2, 3, 4, 5]
    assert sink.reasons == [None, Reason.reset]
    assert sink.told[0].state.epoch != sink.told[1].state.epoch


def replace_after_locating(monkeypatch: pytest.MonkeyPatch, pod: Pod, follower: Follower, tenant: str) -> None:
    locate = follower.feed._locate
    located: list[int] = []

    async def locate_then_replace(last: int | None) -> int:
        base = await locate(last)
        if not located:
            located.append(base)
            await streams.remove(pod.api, tenant)
            await pod.ensure(tenant)
            await pod.publish(tenant, flights(5))
        return base

    monkeypatch.setattr(follower.feed, "_locate", locate_then_replace)


async def test_a_run_that_failed_goes_on_where_it_was(pod: Pod, tenant: str) -> None:
    """As the supervisor has it."""
    follower = pod.follower(tenant, sink := Recording())
    async with running(follower):
        await sink.began()
        await pod.publish(tenant, flights(3))
        await sink.has(3)
    await pod.publish(tenant, flights(3))
    began = time.monotonic()
    async with running(follower):
        await sink.has(6)
    assert time.monotonic() - began < 1.5, "it waited for silence instead of beginning at once"
    assert sink.seqs == list(range(1, 7))
    assert sink.reasons == [None]
