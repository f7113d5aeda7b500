"""Why the feed is our own: what nats-py's ordered consumer does when something goes wrong, and what ours does.

Each test has both beside each other in one scenario. It asserts that the library's loses, repeats or skips events: when
one of these assertions fails, the library was mended, and the reason to go our own way is worth another look.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import nats
import pytest
from nats.aio.client import Client as LibraryClient
from nats.aio.msg import Msg
from nats.errors import FlushTimeoutError
from nats.js.api import DeliverPolicy

from slipstream.jetstream import stream as streams
from slipstream.protocol.control import Reason
from tests.contract.pod import Pod, flights, following, freeze, until
from tests.servers import NatsServer, wait_until

_HEARTBEAT = 0.3


async def quiet(_: Exception) -> None:
    """The library's default prints a traceback."""


@asynccontextmanager
async def library(url: str, **options: Any) -> AsyncIterator[LibraryClient]:
    client = await nats.connect(url, **{"error_cb": quiet, "reconnect_time_wait": 0.1, **options})
    try:
        yield client
    finally:
        await client.close()


def seq_of(message: Msg) -> int:
    return message.metadata.sequence.stream


async def test_idle_over_a_restart_the_library_replays_everything(nats: NatsServer, pod: Pod, tenant: str) -> None:
    """T2: its cursor is 0 until a message arrives, and a reset starts after the cursor."""
    await pod.publish(tenant, flights(20))
    seen: list[int] = []

    async def take(message: Msg) -> None:
        seen.append(seq_of(message))

    async with library(nats.url) as client, following(pod, tenant) as sink:
        await client.jetstream().subscribe(
            f"sse.{tenant}.>",
            cb=take,
            ordered_consumer=True,
            deliver_policy=DeliverPolicy.NEW,
            idle_heartbeat=_HEARTBEAT,
        )
        await nats.kill()
        await nats.start()
        assert await pod.publish(tenant, flights(1)) == 21
        await until(lambda: 21 in seen, "the library's consumer goes on")
        await sink.has(1)
    assert seen == list(range(1, 22)), "nats-py no longer replays: T2 is mended"
    assert sink.seqs == [21]
    assert sink.reasons == [None]


async def test_of_a_recreated_stream_the_library_skips_the_first(nats: NatsServer, pod: Pod, tenant: str) -> None:
    """T3: its consumer of the new stream starts after the old stream's number."""
    await pod.publish(tenant, flights(10))
    seen: list[int] = []

    async def take(message: Msg) -> None:
        seen.append(seq_of(message))

    async with library(nats.url) as client, following(pod, tenant) as sink:
        await client.jetstream().subscribe(f"sse.{tenant}.>", cb=take, ordered_consumer=True, idle_heartbeat=_HEARTBEAT)
        await until(lambda: len(seen) == 10, "the library has the old stream")
        await streams.remove(pod.api, tenant)
        found = await pod.ensure(tenant)
        await pod.publish(tenant, flights(15))
        await sink.has(15)
        await until(lambda: len(seen) > 10 and seen[-1] == 15, "the library goes on")
    assert seen[10:] == [11, 12, 13, 14, 15], "nats-py no longer skips: T3 is mended"
    assert sink.seqs == list(range(1, 16))
    assert sink.reasons == [None, Reason.reset]
    assert (sink.told[1].state.epoch, sink.told[1].base, sink.told[1].after) == (found.state.epoch, 0, 0)


async def test_with_a_slow_reader_the_library_drops_behind_its_own_cursor(
    nats: NatsServer, pod: Pod, tenant: str
) -> None:
    """T4: a full queue drops the message after the cursor has moved past it."""
    total = 300
    seen: list[int] = []
    hold, dropped = asyncio.Event(), asyncio.Event()

    async def take(message: Msg) -> None:
        seen.append(seq_of(message))
        await hold.wait()

    async def note(_: Exception) -> None:
        dropped.set()

    async with library(nats.url, error_cb=note) as client, following(pod, tenant) as sink:
        await client.jetstream().subscribe(
            f"sse.{tenant}.>", cb=take, ordered_consumer=True, pending_msgs_limit=50, idle_heartbeat=_HEARTBEAT
        )
        await pod.publish(tenant, flights(total))
        await asyncio.wait_for(dropped.wait(), 10.0)
        await sink.has(total)
        hold.set()
        await pod.publish(tenant, flights(1))
        await until(lambda: seen[-1] == total + 1, "the library has caught up")
        await sink.has(total + 1)
    assert len(seen) < total // 2, "nats-py no longer drops: T4 is mended"
    assert sink.seqs == list(range(1, total + 2))
    assert sink.reasons == [None]


async def test_ours_takes_a_backlog_however_slow_the_sink(
    pod: Pod, tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """T4, ours with a sink that blocks: it has no queue that could be full."""
    total = 300
    async with following(pod, tenant) as sink:
        append = sink.append

        def slow(record: Any) -> None:
            until_then = asyncio.get_running_loop().time() + 0.002
            while asyncio.get_running_loop().time() < until_then:
                pass
            append(record)

        monkeypatch.setattr(sink, "append", slow)
        await asyncio.gather(*(pod.put(tenant, one.topic, one.data) for one in flights(total)))
        await sink.has(total)
    assert sink.seqs == list(range(1, total + 1))
    assert sink.reasons == [None]


async def test_a_raising_error_callback_ends_the_librarys_read_loop(nats: NatsServer, pod: Pod, tenant: str) -> None:
    """T5: nobody can see it, `is_connected` stays true."""
    hold = asyncio.Event()
    seen: list[int] = []

    async def take(message: Msg) -> None:
        seen.append(seq_of(message))

    async def wait(_: Msg) -> None:
        await hold.wait()

    async def fail(_: Exception) -> None:
        raise RuntimeError("a fault in somebody's error callback")

    async with library(nats.url, error_cb=fail) as client:
        await client.jetstream().subscribe(f"sse.{tenant}.>", cb=take, ordered_consumer=True)
        await client.subscribe("noise", cb=wait, pending_msgs_limit=1)
        await client.flush()

        async def ended() -> bool:
            # Again and again: on a busy machine our own connection may be replaced, and what was on its way with it.
            for _ in range(4):
                await pod.link.client.publish("noise", b"")
            return client._reading_task is not None and client._reading_task.done()

        await wait_until(ended, seconds=15.0, what="the read loop ends")
        assert client.is_connected, "nats-py notices: T5 is mended"
        async with following(pod, tenant) as sink:
            await pod.publish(tenant, flights(10))
            await sink.has(10)
        assert seen == [], "nats-py still reads: T5 is mended"


async def test_a_raising_error_callback_does_not_end_ours(
    nats: NatsServer, tenant: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """T5, ours: the callback is guarded."""
    failed = asyncio.Event()

    def fail(_: Exception) -> None:
        failed.set()
        raise RuntimeError("a fault in our error callback")

    ours = Pod(nats.url, "other")
    monkeypatch.setattr(ours.feed_link, "_on_error", fail)
    async with ours, following(ours, tenant) as sink:
        hold = asyncio.Event()

        async def wait(_: Msg) -> None:
            await hold.wait()

        client = ours.feed_link.client
        await client.subscribe("noise", cb=wait, pending_msgs_limit=1)
        await client.flush()
        for _ in range(4):
            await client.publish("noise", b"")
        await asyncio.wait_for(failed.wait(), 5.0)
        await ours.publish(tenant, flights(10))
        await sink.has(10)
        assert ours.feed_link.client is client, "the connection was replaced, not spared"
    assert "the error callback failed" in caplog.text
    caplog.clear()
    assert sink.seqs == list(range(1, 11))
    assert sink.reasons == [None]


async def test_a_late_pong_ends_the_librarys_read_loop_and_not_ours(nats: NatsServer, pod: Pod, tenant: str) -> None:
    """T6: a flush whose patience ended while the server was frozen; its PONG comes when the server thaws."""
    seen: list[int] = []

    async def take(message: Msg) -> None:
        seen.append(seq_of(message))

    async with library(nats.url) as client, following(pod, tenant) as sink:
        await client.jetstream().subscribe(f"sse.{tenant}.>", cb=take, ordered_consumer=True)
        ours = pod.feed_link.client
        await freeze(nats)
        flushes = await asyncio.gather(client.flush(timeout=1), ours.flush(timeout=1), return_exceptions=True)
        assert [type(one) for one in flushes] == [FlushTimeoutError, FlushTimeoutError]
        nats.resume()
        await until(lambda: client._reading_task is not None and client._reading_task.done(), "the read loop ends")
        await pod.publish(tenant, flights(10))
        await sink.has(10)
        assert client.is_connected, "nats-py notices: T6 is mended"
        assert seen == [], "nats-py still reads: T6 is mended"
        assert pod.feed_link.client is ours, "the connection was replaced, not spared"
    assert sink.seqs == list(range(1, 11))
    assert sink.reasons == [None]
