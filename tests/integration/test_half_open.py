"""Peers that are gone without a word, as a phone without network: noticed within two heartbeats, others unharmed."""

import asyncio
import ctypes
import socket
import struct

import pytest

from slipstream.demo import flights
from slipstream.fanout.connection import Connection, Ending, State
from slipstream.fanout.pulse import Pulse, owing
from tests.integration.cluster import Cluster, text_of
from tests.integration.wire import until

LOOPS = ("uvloop",)

HEARTBEAT = 1.0
SO_ATTACH_FILTER = 26
_RETURN_NOTHING = struct.pack("HBBI", 0x06, 0, 0, 0)


def vanish(peer: socket.socket) -> None:
    """From now on nothing reaches this socket: a socket filter (socket(7)) drops what comes, unacknowledged."""
    program = ctypes.create_string_buffer(_RETURN_NOTHING)
    peer.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HxxxxxxP", 1, ctypes.addressof(program)))


@pytest.mark.parametrize("busy", [False, True], ids=["quiet stream", "busy stream"])
async def test_a_half_open_peer_is_gone_within_two_heartbeats(cluster: Cluster, *, busy: bool) -> None:
    async with cluster.edge(heartbeat=HEARTBEAT) as running:
        streams = [await cluster.opened(running.server.port) for _ in range(20)]
        connections = sorted(running.services.hub.reactor.connections(), key=lambda one: one.number)
        await streams[0].comments(1)
        for stream in streams[:5]:
            vanish(stream.wire.socket)
        loop = asyncio.get_running_loop()
        vanished = loop.time()

        async def publish() -> None:
            for event in flights():
                await cluster.put(event["topic"], text_of(event).encode())
                await asyncio.sleep(0.05)

        publishing = asyncio.create_task(publish() if busy else asyncio.sleep(0), name="publisher")
        try:
            await until(lambda: all(one.state is State.CLOSED for one in connections[:5]), "they are gone")
            # The hub looks twice a second; a heartbeat is late by as much.
            assert loop.time() - vanished < 2 * HEARTBEAT + 1.0
        finally:
            publishing.cancel()
        await asyncio.sleep(2 * HEARTBEAT)
        endings = running.services.hub.reactor.endings
        assert (endings[Ending.DEAD], len(running.services.hub.reactor)) == (5, 15)
        assert len(running.services.sessions) == 15


async def test_who_owes_nothing_is_not_dead_however_long_it_is_silent() -> None:
    near, far = socket.create_server(("127.0.0.1", 0)), socket.socket()
    with near, far:
        far.connect(near.getsockname())
        accepted, _ = near.accept()
        with accepted:
            await asyncio.sleep(0.2)
            assert owing(accepted.fileno()) == 0.0
            vanish(far)
            accepted.send(b"x")
            await asyncio.sleep(0.2)
            assert owing(accepted.fileno()) >= 0.19


def test_all_are_looked_at_within_a_third_of_a_heartbeat(monkeypatch: pytest.MonkeyPatch) -> None:
    everybody = [Connection(number, number, None, 0) for number in range(1_000)]  # type: ignore[arg-type]
    looked: list[int] = []

    def look(fd: int) -> float:
        looked.append(fd)
        return 20.0 if fd % 100 == 0 else 10.0

    monkeypatch.setattr("slipstream.fanout.pulse.owing", look)
    pulse = Pulse(12.0, lambda: list(everybody))
    everybody[7].state = State.CLOSED
    due = [one for step in range(9) for one in pulse.due(100 + step / 2)]
    found = [one.number for one in due if not pulse.lives(one)]
    assert sorted(looked) == [number for number in range(1_000) if number != 7]
    assert found == list(range(0, 1_000, 100))
