"""Readers whose window is closed, on real sockets: refilled byte for byte, or closed, and never at another's cost."""

import asyncio
import os
import re
import socket
import struct
import time

import pytest

from slipstream.app import Running
from slipstream.fanout.connection import Connection, Ending, State
from tests.integration.cluster import Cluster
from tests.integration.events import large
from tests.integration.wire import until

LOOPS = ("uvloop", "asyncio")

_SO_MEMINFO = 55
_WMEM_QUEUED = 5
_FRAME_HEAD = re.compile(rb"(?:[0-9a-f]+\r\n)?id: ")


def kernel_memory(fd: int) -> int:
    """Bytes of kernel memory in a socket's send queue, bookkeeping included (sk_meminfo of sock_diag(7))."""
    with socket.socket(fileno=os.dup(fd)) as ours:
        return int(struct.unpack_from("9I", ours.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, 36))[_WMEM_QUEUED])


def newest(running: Running) -> Connection:
    return max(running.services.hub.reactor.connections(), key=lambda one: one.number)


async def fall_behind(connection: Connection, cluster: Cluster, events: list[tuple[str, bytes]]) -> None:
    for topic, data in events:
        await cluster.put(topic, data)
    await until(lambda: connection.state is State.BEHIND, "its window is closed")


@pytest.mark.parametrize(
    ("version", "coding"), [("1.0", "identity"), ("1.1", "identity"), ("1.1", "gzip")], ids=["1.0", "1.1", "gzip"]
)
async def test_a_reader_that_pauses_gets_every_byte_that_the_others_got(
    cluster: Cluster, version: str, coding: str
) -> None:
    events = list(large(200))
    async with cluster.edge(sndbuf=16 * 1024) as running:
        accepts = f"Accept-Encoding: {coding}"
        fast = await cluster.opened(running.server.port, "", accepts, version=version)
        slow = await cluster.opened(running.server.port, "", accepts, version=version, rcvbuf=4096)
        assert slow.head.headers.get("content-encoding", "identity") == coding
        connection = newest(running)
        reading = asyncio.create_task(fast.take(len(events)))
        torn = 0
        for begin in range(0, len(events), 40):
            await fall_behind(connection, cluster, events[begin : begin + 40])
            torn += bool(connection.unsent) and not _FRAME_HEAD.match(connection.unsent)
            # Some of it, in odd pieces, so that the next cut is at another place.
            for size in (1, 7, 1000, 3001, 4096, 20_011, 65_536):
                await slow.wire.more(size)
        assert torn, "no write was cut inside a frame"
        assert [event.data.encode() for event in await reading] == [data for _, data in events]
        await slow.take(len(events))
        assert b"".join(slow.blocks[1:]) == b"".join(fast.blocks[1:])
        await until(lambda: connection.state is State.LIVE, "it is with the others again")
        await cluster.put("after", b"after")
        assert [event.data for event in await slow.take() + await fast.take()] == ["after"] * 2


async def test_a_reader_that_never_reads_is_closed_and_costs_nobody_anything(cluster: Cluster) -> None:
    events = list(large(100))
    async with cluster.edge(write_deadline=3.0, sndbuf=64 * 1024) as running:
        endings = running.services.hub.reactor.endings
        stuck = await cluster.opened(running.server.port, rcvbuf=4096)
        connection = newest(running)
        others = [await cluster.opened(running.server.port) for _ in range(3)]
        await fall_behind(connection, cluster, events)
        for other in others:
            assert [event.data.encode() for event in await other.take(len(events))] == [data for _, data in events]
        assert not endings[Ending.SLOW], "the others had to wait for the slow one's end"
        assert kernel_memory(connection.fd) < 300_000
        assert len(connection.unsent) < 64 * 1024, "only a torn frame is kept"
        await until(lambda: connection.state is State.CLOSED, "closed", 10.0)
        assert endings[Ending.SLOW] == 1
        assert len(running.services.hub.reactor) == 3

        # What it had got so far is whole, and it goes on from there.
        had = [event.data for event in await stuck.end()]
        assert stuck.ended is False
        again = await cluster.opened(running.server.port, "", f"Last-Event-ID: {stuck.parser.last_id}")
        had += [event.data for event in await again.take(len(events) - len(had))]
        assert [data.encode() for data in had] == [data for _, data in events]


async def test_progress_puts_the_deadline_off(cluster: Cluster) -> None:
    events = list(large(2, 240_000))
    async with cluster.edge(write_deadline=1.5, sndbuf=8 * 1024, heartbeat=60) as running:
        slow = await cluster.opened(running.server.port, rcvbuf=4096)
        connection = newest(running)
        await fall_behind(connection, cluster, events)
        loop = asyncio.get_running_loop()
        begun, left = loop.time(), len(connection.unsent)
        while loop.time() - begun < 4.0:
            await asyncio.sleep(0.1)
            await slow.wire.more(4096)
        assert connection.state is State.BEHIND, running.services.hub.reactor.endings
        assert 0 < len(connection.unsent) < left, "it is still the same write"
        assert [event.data.encode() for event in await slow.take(len(events))] == [data for _, data in events]


async def test_time_in_which_the_process_stood_still_is_nobodys_slowness(cluster: Cluster) -> None:
    events = list(large(30))
    async with cluster.edge(write_deadline=1.5, sndbuf=16 * 1024) as running:
        slow = await cluster.opened(running.server.port, rcvbuf=4096)
        await fall_behind(newest(running), cluster, events)
        time.sleep(2.5)  # noqa: ASYNC251 - the edge is in this process, too
        assert [event.data.encode() for event in await slow.take(len(events))] == [data for _, data in events]
        assert not running.services.hub.reactor.endings[Ending.SLOW]


async def test_a_closed_window_that_the_kernel_gives_up_on_counts_as_slow(cluster: Cluster) -> None:
    # Nothing is left to be written by us, so there is no write deadline: TCP_USER_TIMEOUT is one second here.
    async with cluster.edge(write_deadline=0.5, heartbeat=0.5, sndbuf=1 << 20) as running:
        await cluster.opened(running.server.port, rcvbuf=4096)
        connection = newest(running)
        for topic, data in large(10):
            await cluster.put(topic, data)
        await until(lambda: connection.state is State.CLOSED, "closed")
        endings = running.services.hub.reactor.endings
        assert (endings[Ending.SLOW], endings[Ending.DEAD]) == (1, 0)


async def test_a_reader_that_has_closed_its_window_is_not_taken_for_dead(cluster: Cluster) -> None:
    events = list(large(30))
    async with cluster.edge(write_deadline=30, heartbeat=0.5) as running:
        slow = await cluster.opened(running.server.port, rcvbuf=4096)
        connection = newest(running)
        await fall_behind(connection, cluster, events)
        await asyncio.sleep(3.0)  # six heartbeats, in which it acknowledges the probes of its window
        assert connection.state is State.BEHIND
        assert [event.data.encode() for event in await slow.take(len(events))] == [data for _, data in events]
