"""Publishing: stored and acked, or an error that says what to do."""

import asyncio
import time

import orjson
import pytest

from slipstream import demo
from slipstream.jetstream import stream as streams
from slipstream.log.store import Stored
from slipstream.protocol.errors import Code, SlipstreamError
from slipstream.protocol.message_id import message_id
from tests.contract.pod import Pod, freeze, until
from tests.servers import NatsServer

_MAX_PAYLOAD = 1024 * 1024


async def refusal(pod: Pod, tenant: str, data: bytes = b"1", **options: str) -> SlipstreamError:
    with pytest.raises(SlipstreamError) as refused:
        await pod.publisher.publish(tenant, "orders", data, **options)
    return refused.value


@pytest.fixture
async def epoch(pod: Pod, tenant: str) -> str:
    return (await streams.find(pod.api, tenant)).state.epoch


async def test_the_answer_is_where_the_event_lies(pod: Pod, tenant: str, epoch: str) -> None:
    for number in (1, 2, 3):
        assert await pod.publisher.publish(tenant, "orders", b"%d" % number) == Stored(epoch, number, False)
    records = (await pod.source(tenant).read("orders", 0, 10)).records
    assert [(one.seq, one.data) for one in records] == [(1, b"1"), (2, b"2"), (3, b"3")]


async def test_everything_arrives_as_it_was_given(pod: Pod, tenant: str) -> None:
    parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    await pod.publisher.publish(
        tenant,
        "a.b-c_D.9",
        "Übermaß 漢字".encode(),
        event="größer: alles",
        key="k:1",
        message_id="m",
        traceparent=parent,
    )
    ((record,), _) = await pod.source(tenant).read(">", 0, 10)
    assert (record.topic, record.event, record.key, record.traceparent) == ("a.b-c_D.9", "größer: alles", "k:1", parent)
    assert record.data.decode() == "Übermaß 漢字"


async def test_real_events_twice_are_stored_once(pod: Pod, tenant: str, epoch: str) -> None:
    quakes = list(demo.earthquakes())[:50]

    async def publish_all() -> list[Stored]:
        return [
            await pod.publisher.publish(
                tenant,
                event["topic"],
                orjson.dumps(event["data"]),
                event=event["event"],
                message_id=message_id(event["topic"], event["id"]),
            )
            for event in quakes
        ]

    assert await publish_all() == [Stored(epoch, number, False) for number in range(1, 51)]
    assert await publish_all() == [Stored(epoch, number, True) for number in range(1, 51)]
    assert (await pod.source(tenant).state()).last_seq == 50


async def test_a_message_id_is_its_tenants_own(pod: Pod, tenant: str) -> None:
    await pod.ensure("neighbour")
    for name in (tenant, "neighbour"):
        stored = await pod.publisher.publish(name, "orders", b"1", message_id="1")
        assert (stored.seq, stored.duplicate) == (1, False)


async def test_a_message_id_is_remembered_over_a_restart(nats: NatsServer, pod: Pod, tenant: str) -> None:
    await pod.publisher.publish(tenant, "orders", b"1", message_id="once")
    await nats.kill()
    await nats.start()
    await until(lambda: pod.link.up, "the pod is back")
    again = await pod.publisher.publish(tenant, "orders", b"1", message_id="once")
    assert (again.seq, again.duplicate) == (1, True)


@pytest.mark.parametrize("room", [0, 20, 80])
async def test_an_event_too_large_for_the_server_is_refused_here(pod: Pod, tenant: str, room: int) -> None:
    """With its headers, which nats-py does not count: the server would close everybody's connection."""
    client = pod.link.client
    for seq in (1, 2):
        error = await refusal(pod, tenant, b"x" * (_MAX_PAYLOAD - room), event="e" * 100)
        assert (error.code, error.status) == (Code.BAD_REQUEST, 413)
        assert "max_payload" in error.message
        assert (await pod.publisher.publish(tenant, "orders", b"1")).seq == seq
    assert client is pod.link.client
    assert client.is_connected


async def test_the_largest_event_is_stored(pod: Pod, tenant: str) -> None:
    """To the byte: one more is refused."""
    headers = f"NATS/1.0\r\nNats-Expected-Stream: SSE_{tenant}\r\nSse-Event: größe\r\n\r\n".encode()
    data = b"x" * (_MAX_PAYLOAD - len(headers))
    assert (await pod.publisher.publish(tenant, "orders", data, event="größe")).seq == 1
    assert (await refusal(pod, tenant, data + b"x", event="größe")).status == 413


async def test_without_a_stream_it_says_so_at_once(pod: Pod) -> None:
    began = time.monotonic()
    error = await refusal(pod, "nobody")
    assert (error.code, error.status) == (Code.UPSTREAM_UNAVAILABLE, 503)
    assert error.retry_after == 2.0
    assert "tenant nobody" in error.message
    assert time.monotonic() - began < 2.0


async def test_another_streams_subject_is_refused(pod: Pod) -> None:
    """Somebody put a stream of his own into the place of the tenant's, whose epoch is still known."""
    await pod.ensure("manual")
    await pod.publisher.publish("manual", "orders", b"1")
    await streams.remove(pod.api, "manual")
    await pod.api.call("STREAM.CREATE.by-hand", {"name": "by-hand", "subjects": ["sse.manual.>"]})
    error = await refusal(pod, "manual")
    assert error.code is Code.UPSTREAM_UNAVAILABLE
    assert "expected stream does not match" in error.message
    assert (await pod.api.call("STREAM.INFO.by-hand"))["state"]["messages"] == 0


async def test_a_full_store_is_passed_on(pod: Pod, tenant: str) -> None:
    """As a stream that refuses (`discard: new`) answers; a tenant's evicts from the front instead."""
    config = (await streams.find(pod.api, tenant)).config
    await pod.api.call(f"STREAM.UPDATE.{config['name']}", {**config, "discard": "new", "max_msgs": 1})
    await pod.publisher.publish(tenant, "orders", b"1")
    error = await refusal(pod, tenant)
    assert (error.code, error.retry_after) == (Code.UPSTREAM_UNAVAILABLE, 2.0)
    assert "maximum messages exceeded" in error.message


async def test_a_recreated_streams_epoch_is_learned(pod: Pod, tenant: str, epoch: str) -> None:
    assert (await pod.publisher.publish(tenant, "orders", b"1")).epoch == epoch
    await streams.remove(pod.api, tenant)
    await pod.ensure(tenant)
    pod.publisher._epochs[tenant].at -= 6.0
    stored = await pod.publisher.publish(tenant, "orders", b"1")
    assert (stored.seq, stored.epoch) == (1, (await streams.find(pod.api, tenant)).state.epoch)
    assert stored.epoch != epoch


async def test_what_is_known_of_tenants_that_are_gone_is_forgotten(pod: Pod, tenant: str) -> None:
    publisher = pod.publisher
    for number in range(3):
        assert (await refusal(pod, f"gone-{number}")).code is Code.UPSTREAM_UNAVAILABLE
    await publisher.publish(tenant, "orders", b"1")
    assert len(publisher._epochs) == 4
    for known in publisher._epochs.values():
        known.at -= 61.0
        known.asked_at -= 61.0
    await publisher.publish(tenant, "orders", b"2")
    assert list(publisher._epochs) == [tenant]


@pytest.mark.parametrize("how", ["frozen", "dead"])
async def test_a_server_that_is_away_is_told_and_its_return_noticed(
    nats: NatsServer, pod: Pod, tenant: str, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr("slipstream.jetstream.pipeline.SECONDS", 0.5)
    await pod.publisher.publish(tenant, "orders", b"1", message_id="1")
    if how == "frozen":
        await freeze(nats)
    else:
        await nats.kill()
    began = time.monotonic()
    error = await refusal(pod, tenant, message_id="2")
    assert (error.code, error.status, error.retry_after) == (Code.UPSTREAM_UNAVAILABLE, 503, 2.0)
    assert time.monotonic() - began < 3.0
    if how == "frozen":
        nats.resume()
    else:
        await nats.start()
    await until(lambda: pod.link.up, "the pod is back")
    # It may have been stored: the message id makes trying again safe.
    assert (await pod.publisher.publish(tenant, "orders", b"1", message_id="2")).seq == 2
    assert (await pod.source(tenant).state()).last_seq == 2


async def test_many_at_once_are_all_stored(pod: Pod, tenant: str) -> None:
    stored = await asyncio.gather(*(pod.publisher.publish(tenant, "orders", b"%d" % n) for n in range(500)))
    assert sorted(one.seq for one in stored) == list(range(1, 501))
