"""A TCP proxy on loopback that can hold, delay, slice, refuse and reset what goes through it.

What stands between two real servers, so that the way between them can be broken without touching either, and without
rights that a test has not got (the kernel here has no netem).
"""

import asyncio
import itertools
import random
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from tests.servers import HOST, free_port

READ_BYTES = 65536
QUEUED = 64
CONNECT_SECONDS = 2.0


@dataclass(slots=True)
class Weather:
    """What befalls the bytes from now on.

    held: nothing is forwarded in either direction, and every connection stays open: a black hole that loses nothing, as
    TCP would send it again. delay, jitter: seconds that each block waits. sliced: one byte at a time. refused: new
    connections are closed at once.
    """

    held: bool = False
    delay: float = 0.0
    jitter: float = 0.0
    sliced: bool = False
    refused: bool = False


class Proxy:
    """Listens on a port of its own and forwards to `target`, another port of this host.

    weather: change it with `become`. open: connections that go through now.
    """

    def __init__(self, name: str, target: int) -> None:
        self.name = name
        self.target = target
        self.port = free_port()
        self.weather = Weather()
        self._fair = asyncio.Event()
        self._fair.set()
        self._pairs: set[tuple[asyncio.StreamWriter, asyncio.StreamWriter]] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._dice = random.Random(name)

    @property
    def open(self) -> int:
        """How many connections go through now."""
        return len(self._pairs)

    @asynccontextmanager
    async def serving(self) -> AsyncIterator["Proxy"]:
        """Listen for as long as the block runs."""
        server = await asyncio.start_server(self._accept, HOST, self.port, limit=READ_BYTES)
        try:
            yield self
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def become(self, weather: Weather) -> None:
        """Change the weather, for open connections too."""
        self.weather = weather
        if weather.held:
            self._fair.clear()
        else:
            self._fair.set()

    def clear(self) -> None:
        """Fair weather again."""
        self.become(Weather())

    def reset(self) -> int:
        """End every open connection by RST on both sides; how many there were."""
        pairs = list(self._pairs)
        for pair in pairs:
            for writer in pair:
                _abort(writer)
        return len(pairs)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # A task of our own: Python 3.11 complains of one of its streams that is cancelled.
        task = asyncio.create_task(self._carry(reader, writer), name=self.name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.weather.refused:
            _abort(writer)
            return
        # A black hole has no handshake, but the kernel has done it here; nothing is said until it lifts.
        await self._fair.wait()
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                far_reader, far_writer = await asyncio.open_connection(HOST, self.target, limit=READ_BYTES)
        except (OSError, TimeoutError):
            _abort(writer)
            return
        for one in (writer, far_writer):
            one.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        pair = (writer, far_writer)
        self._pairs.add(pair)
        ways = [self._way(reader, far_writer), self._way(far_reader, writer)]
        end: Callable[[asyncio.StreamWriter], None] = _abort
        try:
            done, _ = await asyncio.wait([write for _, write in ways], return_when=asyncio.FIRST_EXCEPTION)
            if not any(task.exception() for task in done):
                end = asyncio.StreamWriter.close
        finally:
            self._pairs.discard(pair)
            for task in itertools.chain.from_iterable(ways):
                task.cancel()
            for one in pair:
                end(one)

    def _way(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter
    ) -> tuple[asyncio.Task[None], asyncio.Task[None]]:
        """One direction. Its bounded queue lets blocks wait for their moments side by side, in order."""
        queue: asyncio.Queue[tuple[float, bytes | None]] = asyncio.Queue(QUEUED)
        return (
            asyncio.create_task(self._read(source, queue), name=f"{self.name} read"),
            asyncio.create_task(self._write(queue, sink), name=f"{self.name} write"),
        )

    async def _read(self, source: asyncio.StreamReader, queue: asyncio.Queue[tuple[float, bytes | None]]) -> None:
        """An empty block is the end, None a reset."""
        loop = asyncio.get_running_loop()
        block: bytes | None = b"-"
        while block:
            try:
                block = await source.read(READ_BYTES)
            except OSError:
                block = None
            await queue.put((loop.time() + self.weather.delay + self._dice.uniform(0.0, self.weather.jitter), block))

    async def _write(self, queue: asyncio.Queue[tuple[float, bytes | None]], sink: asyncio.StreamWriter) -> None:
        """Raises OSError when either side is reset."""
        loop = asyncio.get_running_loop()
        while True:
            due, block = await queue.get()
            await asyncio.sleep(max(0.0, due - loop.time()))
            await self._fair.wait()
            if block is None:
                raise ConnectionResetError
            if not block:
                sink.write_eof()
                return
            size = 1 if self.weather.sliced else len(block)
            for at in range(0, len(block), size):
                sink.write(block[at : at + size])
                await sink.drain()


def _abort(writer: asyncio.StreamWriter) -> None:
    near = writer.get_extra_info("socket")
    if near is not None and near.fileno() >= 0:
        near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
