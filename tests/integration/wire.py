"""One TCP connection to an edge, byte by byte, and the HTTP answer or event stream that comes back on it.

Nothing is read before a test asks for it, so that a reader can be slow on purpose. Every wait has a deadline.
"""

import asyncio
import json
import socket
import struct
import zlib
from collections.abc import Callable
from typing import Any, NamedTuple, Self

from tests.servers import HOST
from tests.sse import Parsed, Parser

PATIENCE = 10.0
POLL_SECONDS = 0.005
_READ_BYTES = 65536
_STREAM_SECONDS = 15.0


async def until(condition: Callable[[], bool], what: str = "the condition", seconds: float = PATIENCE) -> None:
    """Return when `condition` is true. Raises TimeoutError naming `what`."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while not condition():
        if loop.time() > deadline:
            raise TimeoutError(f"{what}: not within {seconds:g} s")
        await asyncio.sleep(POLL_SECONDS)


class Head(NamedTuple):
    """Status line and headers of an answer; names in lower case."""

    version: str
    status: int
    headers: dict[str, str]

    @property
    def chunked(self) -> bool:
        return self.headers.get("transfer-encoding") == "chunked"


class Answer(NamedTuple):
    """A whole answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def events(self) -> list[Parsed]:
        return Parser().feed(self.body)


class Wire:
    """A connection whose bytes arrive only when they are asked for."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self.buffer = bytearray()
        self._loop = asyncio.get_running_loop()

    @classmethod
    async def open(cls, port: int, *, rcvbuf: int | None = None) -> Self:
        """Connect. rcvbuf: the kernel's receive buffer, small for a reader that is to fall behind soon."""
        connection = socket.socket()
        try:
            if rcvbuf is not None:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
            connection.setblocking(False)
            async with asyncio.timeout(PATIENCE):
                await asyncio.get_running_loop().sock_connect(connection, (HOST, port))
        except BaseException:
            connection.close()
            raise
        return cls(connection)

    async def send(self, data: bytes) -> None:
        """Send all of it."""
        async with asyncio.timeout(PATIENCE):
            await self._loop.sock_sendall(self.socket, data)

    async def more(self, size: int = _READ_BYTES) -> int:
        """Read once into `buffer`; how many bytes came, 0 at the peer's FIN. Raises ConnectionError after a reset."""
        async with asyncio.timeout(PATIENCE):
            data = await self._loop.sock_recv(self.socket, size)
        self.buffer += data
        return len(data)

    async def exactly(self, size: int) -> bytes:
        """The next `size` bytes. Raises EOFError when the peer ends before."""
        while len(self.buffer) < size:
            if not await self.more():
                raise EOFError(f"{len(self.buffer)} of {size} bytes came")
        return self._cut(size)

    async def line(self) -> bytes:
        """The next line without its CRLF. Raises EOFError when the peer ends before."""
        while (end := self.buffer.find(b"\r\n")) < 0:
            if not await self.more():
                raise EOFError(f"the peer ended in a line: {bytes(self.buffer[:200])!r}")
        return self._cut(end + 2)[:-2]

    async def head(self) -> Head:
        """The status line and headers of the next answer."""
        version, status, *_ = (await self.line()).decode().split(" ", 2)
        headers: dict[str, str] = {}
        while line := await self.line():
            name, _, value = line.decode("latin-1").partition(": ")
            assert name.lower() not in headers, f"{name} is repeated"
            headers[name.lower()] = value
        return Head(version, int(status), headers)

    async def rest(self) -> bytes:
        """All that comes until the peer's FIN."""
        while await self.more():
            pass
        return self._cut(len(self.buffer))

    async def answer(self, *, bodyless: bool = False) -> Answer:
        """The next answer, framed by its Content-Length, or by the end of the connection."""
        head = await self.head()
        assert not head.chunked
        length = 0 if bodyless or head.status == 204 else head.headers.get("content-length")
        body = await self.rest() if length is None else await self.exactly(int(length))
        return Answer(head.status, head.headers, body)

    def finish(self) -> None:
        """Close our half: FIN."""
        self.socket.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Close with RST."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def close(self) -> None:
        self.socket.close()

    def _cut(self, size: int) -> bytes:
        found = bytes(self.buffer[:size])
        del self.buffer[:size]
        return found


class Stream:
    """An event stream on a wire.

    blocks: the bodies of the chunks as they came (of an identity body: what each read brought), decompressed.
    ended: None while it is open, then True for a clean end (the last chunk, or the end of an identity body), False for
        a cut.
    """

    def __init__(self, wire: Wire, head: Head) -> None:
        self.wire = wire
        self.head = head
        self.blocks: list[bytes] = []
        self.parser = Parser()
        self._inflate = zlib.decompressobj(31) if head.headers.get("content-encoding") == "gzip" else None
        self.ended: bool | None = None
        self._events: list[Parsed] = []

    async def advance(self) -> None:
        """Read the next chunk."""
        try:
            block = await (self._chunk() if self.head.chunked else self._some())
        except (EOFError, ConnectionError):
            self.ended = False
            return
        if not block:
            self.ended = True
            return
        if self._inflate is not None:
            block = self._inflate.decompress(block)
        self.blocks.append(block)
        self._events += self.parser.feed(block)

    async def take(self, count: int = 1) -> list[Parsed]:
        """The next `count` events, control events among them."""
        async with asyncio.timeout(_STREAM_SECONDS):
            while len(self._events) < count:
                assert self.ended is None, f"the stream ended with {self._events} when {count} events were awaited"
                await self.advance()
        found, self._events = self._events[:count], self._events[count:]
        return found

    async def published(self, count: int) -> list[Parsed]:
        """The next `count` events of producers; checkpoints between them are passed over, anything else is a fault."""
        found: list[Parsed] = []
        while len(found) < count:
            (event,) = await self.take()
            if event.event != "stream.checkpoint":
                assert not event.event.startswith("stream."), event
                found.append(event)
        return found

    async def one(self, name: str) -> Parsed:
        """The next event, which must have this name."""
        (event,) = await self.take()
        assert event.event == name, event
        return event

    async def comments(self, count: int) -> None:
        """Read until there were `count` comments."""
        async with asyncio.timeout(_STREAM_SECONDS):
            while len(self.parser.comments) < count:
                assert self.ended is None
                await self.advance()

    async def end(self) -> list[Parsed]:
        """Everything up to the end of the connection."""
        async with asyncio.timeout(_STREAM_SECONDS):
            while self.ended is None:
                await self.advance()
        found, self._events = self._events, []
        return found

    async def _chunk(self) -> bytes:
        size = int(await self.wire.line(), 16)
        block = await self.wire.exactly(size)
        assert await self.wire.exactly(2) == b"\r\n"
        if not size:
            assert await self.wire.rest() == b"", "bytes behind the last chunk"
        return block

    async def _some(self) -> bytes:
        if not self.wire.buffer:
            await self.wire.more()
        return self.wire._cut(len(self.wire.buffer))


def request(target: str, *headers: str, method: str = "GET", version: str = "1.1", body: bytes | None = None) -> bytes:
    """A request as bytes; each of `headers` is a line without its end."""
    lines = [f"{method} {target} HTTP/{version}", f"Host: {HOST}", *headers]
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("utf-8", "surrogateescape") + (body or b"")


async def call(port: int, target: str, *headers: str, method: str = "GET", body: bytes | None = None) -> Answer:
    """One request on a connection of its own, and its whole answer."""
    wire = await Wire.open(port)
    try:
        await wire.send(request(target, *headers, method=method, body=body))
        return await wire.answer(bodyless=method == "HEAD")
    finally:
        wire.close()
