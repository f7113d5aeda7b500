"""A process whose heap allocations are counted while it delivers events: `python -m loadtest.counted PLAN`.

PLAN is a JSON object of `Plan`. Started with the preloaded counter of `baseline/count_allocations.c`. It listens,
writes its port as a line, waits for a line on stdin, delivers the events, writes the allocations of its thread
meanwhile as a line, and ends with stdin.
"""

from __future__ import annotations

import asyncio
import ctypes
import itertools
import socket
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Final, NamedTuple

import orjson
import uvloop
from aiohttp import web

from loadtest.machine import raise_descriptor_limit
from loadtest.payload import templates
from slipstream.cli.dev.ports import HOST
from slipstream.demo import flights
from slipstream.fanout.audience import View
from slipstream.fanout.connection import Connection, Ending
from slipstream.fanout.payload import Payloads
from slipstream.fanout.reactor import Reactor
from slipstream.fanout.tail import Tail
from slipstream.log.budget import Budget
from slipstream.log.ring import Limits
from slipstream.log.source import State
from slipstream.protocol.event import make_record
from slipstream.protocol.frame import encode
from slipstream.protocol.position import format_id
from slipstream.protocol.topic import Filters
from slipstream.shape.shaper import Shaper

_EPOCH: Final = "counted0"
_APART_SECONDS: Final = 0.01
_LAST_SECONDS: Final = 0.2
_OPEN_SECONDS: Final = 30.0
_EVENT_BYTES: Final = 256 * 1024
_HEAD: Final = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


class Server(NamedTuple):
    """deliver: hands one event, topic and payload, to all streams; delivered: returns when nothing is queued."""

    deliver: Callable[[str, bytes], None]
    delivered: Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Plan:
    """way: of `WAYS`; connections: streams that are waited for; events: of `size` bytes, one after the other."""

    way: str
    connections: int
    events: int
    size: int = 170


def allocations() -> int:
    """Heap allocations of this thread so far. Raises AttributeError where the counter is not preloaded."""
    count = ctypes.CDLL(None).heap_allocations
    count.restype = ctypes.c_ulonglong
    return int(count())


@asynccontextmanager
async def slipstream(listener: socket.socket, opened: Callable[[], None]) -> AsyncIterator[Server]:
    """The tail and the reactor as in an edge, from the stored message on."""
    loop = asyncio.get_running_loop()
    reactor = Reactor(loop, 30.0, _ended)
    tail = Tail(
        "bench",
        reactor,
        Shaper(maskers={frozenset(): None}),
        Limits(1000, 256 * 1024, 120_000),
        Budget(1 << 28),
        Payloads(0),
        heartbeat=15.0,
        chase=_no_chase,
    )
    tail.restart(State(_EPOCH, 1, 0, None), 0, None, None)
    view = View(Filters.parse([">"]), chunked=True, heartbeat_event=False)
    seqs = itertools.count(1)

    async def accept() -> None:
        for number in itertools.count(1):
            stream, _ = await loop.sock_accept(listener)
            stream.setblocking(False)
            await loop.sock_recv(stream, 4096)
            tail.admit(Connection(stream.detach(), number, tail.audience(view), 0), _HEAD)
            opened()

    def deliver(topic: str, payload: bytes) -> None:
        tail.append(make_record(next(seqs), int(time.time() * 1000), topic, None, payload, _EVENT_BYTES))

    async def delivered() -> None:
        """Nothing is queued: what a socket did not take would need a chase, which raises."""

    accepting = asyncio.create_task(accept(), name="accept")
    yield Server(deliver, delivered)
    accepting.cancel()
    reactor.shut()


@asynccontextmanager
async def queues(listener: socket.socket, opened: Callable[[], None]) -> AsyncIterator[Server]:
    """A queue for each client and aiohttp's own response, at their best: each event is encoded once for all."""
    clients: list[asyncio.Queue[bytes]] = []
    seqs = itertools.count(1)

    async def events(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        response.enable_chunked_encoding()
        await response.prepare(request)
        queue: asyncio.Queue[bytes] = asyncio.Queue()
        clients.append(queue)
        opened()
        while True:
            await response.write(await queue.get())
            queue.task_done()

    def deliver(topic: str, payload: bytes) -> None:
        del topic
        frame = encode(format_id(_EPOCH, next(seqs), int(time.time() * 1000)), "", payload)
        for queue in clients:
            queue.put_nowait(frame)

    async def delivered() -> None:
        for queue in clients:
            await queue.join()

    app = web.Application()
    app.router.add_get("/", events)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.SockSite(runner, listener).start()
    yield Server(deliver, delivered)
    await runner.cleanup()


WAYS: Final[dict[str, Callable[[socket.socket, Callable[[], None]], AbstractAsyncContextManager[Server]]]] = {
    "slipstream": slipstream,
    "queues": queues,
}


async def run(plan: Plan) -> None:
    """Open the streams, deliver the events, tell the allocations, and keep the streams open until stdin ends."""
    everybody = asyncio.Semaphore(0)
    with socket.create_server((HOST, 0), backlog=4096) as listener:
        listener.setblocking(False)
        async with WAYS[plan.way](listener, everybody.release) as server:
            print(listener.getsockname()[1], flush=True)
            async with asyncio.timeout(_OPEN_SECONDS):
                for _ in range(plan.connections):
                    await everybody.acquire()
            await asyncio.to_thread(sys.stdin.readline)
            print(await _counted(plan, server), flush=True)
            await asyncio.to_thread(sys.stdin.readline)


async def _counted(plan: Plan, server: Server) -> int:
    events = list(itertools.islice(itertools.cycle(templates(flights())), plan.events))
    before = allocations()
    for event in events:
        server.deliver(event.topic, event.stamped(time.monotonic_ns(), plan.size))
        await asyncio.sleep(_APART_SECONDS)
    async with asyncio.timeout(_OPEN_SECONDS):
        await server.delivered()
    await asyncio.sleep(_LAST_SECONDS)
    return allocations() - before


async def _no_chase(tail: Tail, connection: Connection) -> None:
    raise RuntimeError(f"stream {connection.number} of {tail.tenant} fell behind: this measurement is of the live end")


def _ended(connection: Connection, ending: Ending) -> None:
    """Streams end with the measurement, which checks that they had everything."""


def main(arguments: list[str]) -> int:
    """Entry point of the process."""
    raise_descriptor_limit()
    uvloop.run(run(Plan(**orjson.loads(arguments[0]))))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
