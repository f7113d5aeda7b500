"""The hand-off, rule by rule, on both event loops: aiohttp does the handshake, then the descriptor is ours."""

import asyncio
import fcntl
import itertools
import os
import random
import re
import socket
import sys
import termios
from collections import Counter
from collections.abc import AsyncIterator

import pytest

from slipstream.app import Running
from slipstream.demo import earthquakes
from slipstream.fanout.connection import Ending
from slipstream.fanout.reactor import Reactor
from slipstream.protocol import control
from slipstream.protocol.errors import Code
from tests.integration.cluster import Cluster, text_of
from tests.integration.wire import Stream, Wire, request, until

LOOPS = ("uvloop", "asyncio")
QUAKES = list(itertools.islice(earthquakes(), 300))


@pytest.fixture
async def running(cluster: Cluster) -> AsyncIterator[Running]:
    async with cluster.edge() as one:
        yield one


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - counted, not walked


def tasks() -> Counter[str]:
    return Counter(re.sub(r"^Task-\d+$", "Task", task.get_name()) for task in asyncio.all_tasks())


def readers(running: Running) -> int:
    return sum(len(tail) for tail in running.services.hub.tails)


def waiting(fd: int) -> int:
    """Bytes in a socket's send queue that the peer has not acknowledged (SIOCOUTQ, tcp(7))."""
    return int.from_bytes(fcntl.ioctl(fd, termios.TIOCOUTQ, b"\0" * 4), sys.byteorder)


class Rest:
    """What a process holds when no stream is open, to compare with."""

    def __init__(self, running: Running) -> None:
        self.running = running
        self.tasks = tasks()
        self.descriptors = descriptors()

    @classmethod
    async def of(cls, running: Running, cluster: Cluster) -> "Rest":
        """After one stream, which has opened the tenant's feed, is gone again."""
        stream = await cluster.opened(running.server.port)
        stream.wire.close()
        await until(lambda: not len(running.services.hub.reactor), "the first stream is gone")
        await asyncio.sleep(0.05)
        return cls(running)

    async def regained(self) -> None:
        """Return when everything is as it was."""
        reactor = self.running.services.hub.reactor
        await until(lambda: not len(reactor), "the reactor is empty", 2.0)
        await until(lambda: not readers(self.running), "no tail has readers", 2.0)
        await until(lambda: descriptors() == self.descriptors, f"{self.descriptors} descriptors", 2.0)
        await until(lambda: tasks() == self.tasks, f"{self.tasks}", 2.0)
        assert not reactor._writing
        assert not reactor._closing


async def test_http_11_is_chunked_one_frame_a_chunk(cluster: Cluster, running: Running) -> None:
    stream = await cluster.opened(running.server.port)
    assert stream.head.version == "HTTP/1.1"
    assert stream.head.chunked
    assert stream.head.headers["connection"] == "close"
    assert "content-length" not in stream.head.headers
    await cluster.publish(running, QUAKES[:20])
    events = await stream.take(20)
    assert [event.data for event in events] == [text_of(event) for event in QUAKES[:20]]
    assert len(stream.blocks) == 21
    assert all(block.endswith(b"\n\n") for block in stream.blocks)


async def test_http_10_is_identity_and_ends_by_closing(cluster: Cluster, running: Running) -> None:
    old = await cluster.opened(running.server.port, version="1.0")
    new = await cluster.opened(running.server.port)
    assert "transfer-encoding" not in old.head.headers
    await cluster.publish(running, QUAKES[:5])
    received = [event.id for event in await old.take(5)]
    assert received == [event.id for event in await new.take(5)]
    for connection in running.services.hub.reactor.connections():
        running.services.hub.reactor.close(connection, Ending.DRAIN, control.drain(1000))
    (drain,) = await old.end()
    assert drain.event == "stream.drain"
    assert old.ended
    assert b"".join(old.blocks).endswith(b"\n\n")
    assert [event.event for event in await new.end()] == ["stream.drain"]
    assert new.ended


@pytest.mark.parametrize("version", ["1.0", "1.1"])
async def test_head_gets_the_headers_and_keeps_the_connection(cluster: Cluster, running: Running, version: str) -> None:
    wire = await cluster.wire(running.server.port)
    for _ in range(2):
        await wire.send(request(cluster.target(), "Connection: keep-alive", method="HEAD", version=version))
        answer = await wire.answer(bodyless=True)
        assert answer.status == 200
        assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    await wire.send(request(cluster.target(), version=version))
    stream = Stream(wire, await wire.head())
    await stream.one("stream.ready")
    assert len(running.services.hub.reactor) == 1


async def test_an_earlier_answer_that_is_read_slowly_arrives_whole_before_the_stream(
    cluster: Cluster, running: Running
) -> None:
    wire = await cluster.held_up(running, "topic=small")
    await asyncio.sleep(0.1)
    assert not len(running.services.hub.reactor), "the stream began before the answer in front of it was out"
    answer = await wire.answer()
    assert [event["data"] for event in answer.json["events"]] == ["x" * 200_000] * 30
    stream = Stream(wire, await wire.head())
    await stream.one("stream.ready")
    await cluster.put("small", b"after")
    assert (await stream.take())[0].data == "after"


async def test_a_request_pipelined_behind_the_stream_is_dropped(cluster: Cluster, running: Running) -> None:
    rest = await Rest.of(running, cluster)
    wire = await cluster.wire(running.server.port)
    await wire.send(request(cluster.target()) * 2 + request(cluster.target(path="/v1/poll")))
    stream = Stream(wire, await wire.head())
    await stream.one("stream.ready")
    await wire.send(request(cluster.target(path="/v1/poll")))
    await cluster.publish(running, QUAKES[:3])
    assert [event.data for event in await stream.take(3)] == [text_of(event) for event in QUAKES[:3]]
    assert len(running.services.hub.reactor) == 1
    wire.close()
    await rest.regained()


@pytest.mark.parametrize("way", ["close", "reset", "finish"])
async def test_a_client_that_leaves_is_released_at_once(cluster: Cluster, running: Running, way: str) -> None:
    rest = await Rest.of(running, cluster)
    before = running.services.hub.reactor.endings[Ending.CLIENT]
    stream = await cluster.opened(running.server.port)
    assert readers(running) == 1
    getattr(stream.wire, way)()
    await until(lambda: not readers(running), "released", 1.0)
    if way == "finish":
        assert await stream.end() == []
        stream.wire.close()
    await rest.regained()
    assert running.services.hub.reactor.endings[Ending.CLIENT] == before + 1


async def test_more_input_than_16_kib_ends_the_stream(cluster: Cluster, running: Running) -> None:
    rest = await Rest.of(running, cluster)
    endings = running.services.hub.reactor.endings
    stream = await cluster.opened(running.server.port)
    await stream.wire.send(b"x" * 16 * 1024)
    await cluster.publish(running, QUAKES[:1])
    assert (await stream.take())[0].data == text_of(QUAKES[0])
    assert not endings[Ending.FLOOD]
    await stream.wire.send(b"x")
    await stream.end()
    assert endings[Ending.FLOOD] == 1
    stream.wire.close()
    await rest.regained()


async def test_our_own_end_is_a_last_chunk_and_fin_though_input_is_unread(cluster: Cluster, running: Running) -> None:
    rest = await Rest.of(running, cluster)
    reactor = running.services.hub.reactor
    stream = await cluster.opened(running.server.port)
    (connection,) = reactor.connections()
    with stopped(reactor):
        # 40 KB lie unread in our socket at the moment of the end.
        await stream.wire.send(b"x" * 40 * 1024)
        reactor.close(connection, Ending.GONE, control.error(Code.NOT_FOUND, "gone", False, None))
    await stream.wire.send(b"y" * 12 * 1024)
    (error,) = await stream.end()
    assert error.event == "error"
    assert stream.ended, "no last chunk"
    assert len(reactor) == 1, "the peer has a second to close its half"
    stream.wire.finish()
    await until(lambda: not len(reactor), "the peer has closed its half")
    assert not stream.wire.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR), "RST"
    stream.wire.close()
    await rest.regained()
    assert reactor.endings[Ending.GONE] == 1


async def test_our_own_end_loses_nothing_that_the_peer_has_still_to_read(cluster: Cluster, running: Running) -> None:
    reactor = running.services.hub.reactor
    stream = await cluster.opened(running.server.port, rcvbuf=4096)
    (connection,) = reactor.connections()
    big = "".join(map(text_of, QUAKES))[:60_000]
    await cluster.put("big", big.encode())
    await until(lambda: waiting(connection.fd) > 30_000, "most of it waits in our kernel for the peer's window")
    with stopped(reactor):
        await stream.wire.send(b"x" * 4096)
        stream.wire.finish()
        reactor.close(connection, Ending.GONE, control.error(Code.NOT_FOUND, "gone", False, None))
    await until(lambda: not len(reactor), "both halves are closed")
    event, error = await stream.end()
    assert stream.ended, "the end was cut"
    assert (event.data, error.event) == (big, "error")


async def test_a_peer_that_never_closes_its_half_is_let_go_after_a_second(cluster: Cluster, running: Running) -> None:
    reactor = running.services.hub.reactor
    stream = await cluster.opened(running.server.port)
    (connection,) = reactor.connections()
    reactor.close(connection, Ending.GONE)
    assert await stream.end() == []
    assert stream.ended
    await until(lambda: not len(reactor), "let go", 2.0)


class stopped:  # noqa: N801 - reads as a statement
    """Input is not taken from the sockets for the time of the block."""

    def __init__(self, reactor: Reactor) -> None:
        self._reactor = reactor

    def __enter__(self) -> None:
        self._reactor._loop.remove_reader(self._reactor._epoll.fileno())

    def __exit__(self, *_: object) -> None:
        self._reactor._loop.add_reader(self._reactor._epoll.fileno(), self._reactor._ready)


async def test_the_descriptor_has_its_options(cluster: Cluster) -> None:
    async with cluster.edge(sndbuf=64 * 1024, heartbeat=6, write_deadline=9) as running:
        await cluster.opened(running.server.port)
        (connection,) = running.services.hub.reactor.connections()
        with socket.socket(fileno=os.dup(connection.fd)) as ours:
            assert not os.get_blocking(connection.fd)
            # Linux answers twice what was set, for its own bookkeeping (socket(7)).
            assert ours.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) == 2 * 64 * 1024
            assert ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            assert ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 15_000
            assert ours.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            names = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
            assert [ours.getsockopt(socket.IPPROTO_TCP, name) for name in names] == [6, 2, 3]


async def test_five_hundred_connections_of_all_kinds_leave_nothing_behind(cluster: Cluster, running: Running) -> None:
    rest = await Rest.of(running, cluster)
    port = running.server.port
    dice = random.Random(7)
    calls = {
        "head": ("HEAD", cluster.target(), 200),
        "poll": ("GET", cluster.target(path="/v1/poll"), 200),
        "bad": ("GET", cluster.target("topic=$"), 400),
    }
    kinds = ("close", "reset", "finish", "early", "flood", "torn", *calls)

    async def visit(kind: str) -> None:
        wire = await Wire.open(port)
        try:
            if kind in ("close", "reset", "finish", "flood"):
                await wire.send(request(cluster.target("since=earliest")))
                stream = Stream(wire, await wire.head())
                await stream.take(2)
                if kind == "flood":
                    await wire.send(b"x" * 20_000)
                else:
                    getattr(wire, kind)()
                if kind in ("finish", "flood"):
                    await stream.end()
            elif kind == "early":
                await wire.send(request(cluster.target("since=earliest")))
                await asyncio.sleep(dice.random() * 0.004)
                wire.reset()
            elif kind == "torn":
                await wire.send(request(cluster.target())[:-3])
            elif kind in calls:
                method, target, status = calls[kind]
                await wire.send(request(target, method=method))
                assert (await wire.answer(bodyless=method == "HEAD")).status == status
        finally:
            wire.close()

    await cluster.publish(running, QUAKES[:3])
    for _ in range(20):
        await asyncio.gather(*(visit(dice.choice(kinds)) for _ in range(25)))
    await rest.regained()


async def test_a_number_that_is_used_again_is_another_stream(cluster: Cluster, running: Running) -> None:
    port = running.server.port
    stay = await cluster.opened(port)
    going = await cluster.opened(port)
    publishing = asyncio.create_task(cluster.publish(running, QUAKES))
    seen: set[int] = set()
    used_again = 0
    for turn in range(60):
        getattr(going.wire, ("close", "reset")[turn % 2])()
        await until(lambda: len(running.services.hub.reactor) == 1, "one has left")
        going = await cluster.opened(port)
        number = max(running.services.hub.reactor.connections(), key=lambda one: one.number).fd
        used_again += number in seen
        seen.add(number)
    stored = await publishing
    assert used_again > 30
    await cluster.put("last", b"last")
    events = await going.take()
    while events[-1].data != "last":
        events += await going.take()
    sequences = [int(event.id.split("-")[1]) for event in events]
    assert sequences == list(range(sequences[0], stored[-1].seq + 2))
    assert [event.data for event in await stay.take(301)] == [*map(text_of, QUAKES), "last"]


@pytest.mark.parametrize("query", ["since=earliest", "since=last", "last_event_id=abcdefgh-5"])
@pytest.mark.parametrize("way", ["close", "reset"])
async def test_a_client_that_leaves_before_the_hand_off_leaves_nothing_behind(
    cluster: Cluster, running: Running, way: str, query: str
) -> None:
    rest = await Rest.of(running, cluster)
    wire = await cluster.held_up(running, query)
    await wire.exactly(1000)
    getattr(wire, way)()
    await rest.regained()
    assert running.services.hub.reactor.endings[Ending.CLIENT] == 1
