"""One HTTP connection, one request at a time: connect, send, read the head, then the body. Every wait is bounded."""

import asyncio
import ssl
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Self
from urllib.parse import quote, urlencode, urlsplit

from slipstream.client.http import Head, HttpError, Response
from slipstream.protocol.retry import HEADER, Preferences

READ_BYTES: Final = 64 * 1024
_PORTS: Final = MappingProxyType({"http": 80, "https": 443})


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where an address leads. target: path and query. authority: what the Host header says."""

    host: str
    port: int
    secure: bool
    authority: str
    target: str

    def context(self, given: ssl.SSLContext | None) -> ssl.SSLContext | None:
        """What to check the server with: what was given, else the system's authorities; None for plain http."""
        return given or (ssl.create_default_context() if self.secure else None)

    @classmethod
    def parse(cls, url: str, default_path: str, parameters: list[tuple[str, str]]) -> Self:
        """The endpoint of a URL; `default_path` where it has none, `parameters` added to its query.

        Raises ValueError when it is no http or https URL, or carries a user name.
        """
        parts = urlsplit(url)
        if parts.scheme not in _PORTS or not parts.hostname:
            raise ValueError(f"{url!r} is not an http:// or https:// URL")
        if parts.username is not None:
            raise ValueError("a user name in the URL is not sent anywhere: pass a token")
        path = quote(parts.path if parts.path not in ("", "/") else default_path, safe="/%:@!$&'()*+,;=~")
        query = "&".join(filter(None, (parts.query, urlencode(parameters))))
        return cls(
            parts.hostname,
            parts.port or _PORTS[parts.scheme],
            parts.scheme == "https",
            parts.netloc,
            f"{path}?{query}" if query else path,
        )


def caller(tenant: str | None, token: str | None, preferences: Preferences) -> dict[str, str]:
    """The headers that say who asks, and how it would try again; those that would say nothing are left out."""
    named = {
        "X-Tenant-ID": tenant,
        "Authorization": f"Bearer {token}" if token else None,
        HEADER: str(preferences),
    }
    return {name: value for name, value in named.items() if value}


def request(endpoint: Endpoint, headers: dict[str, str], method: str = "GET", body: bytes | None = None) -> bytes:
    """A whole request. Raises ValueError when a header's value would end its line (CWE-93) or is not Latin-1."""
    lines = [f"{method} {endpoint.target} HTTP/1.1", f"Host: {endpoint.authority}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    lines += [] if body is None else [f"Content-Length: {len(body)}"]
    if any("\r" in line or "\n" in line or "\0" in line for line in lines):
        raise ValueError("a header's value or the URL has a line break: remove it")
    return "".join(f"{line}\r\n" for line in [*lines, ""]).encode("latin-1") + (body or b"")


class Connection:
    """An answered request; made by `open`. head: its status and headers."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.head = Head(0, "")
        self._reader = reader
        self._writer = writer
        self._response = Response()
        self._early = b""

    @classmethod
    async def open(cls, endpoint: Endpoint, sent: bytes, *, context: ssl.SSLContext | None, seconds: float) -> Self:
        """Connect, send the request, and wait for the headers of the answer, all within `seconds`.

        Raises TimeoutError, OSError (ssl.SSLError is one), or HttpError.
        """
        async with asyncio.timeout(seconds):
            reader, writer = await asyncio.open_connection(
                endpoint.host, endpoint.port, ssl=context if endpoint.secure else None, limit=READ_BYTES
            )
            connection = cls(reader, writer)
            try:
                await connection._ask(sent)
            except BaseException:
                connection.close()
                raise
        return connection

    @property
    def reusable(self) -> bool:
        """Whether `ask` may send another request: the answer was read to its end, and the peer is still there."""
        return self._response.reusable and not self._early and not self._reader.at_eof()

    async def ask(self, sent: bytes, seconds: float) -> None:
        """Send another request, and wait for the headers of its answer. Raises as `open`.

        A peer may close an idle connection at any moment: an OSError or HttpError can mean just that, and a request
        that is safe to repeat may be made again on a new one.
        """
        async with asyncio.timeout(seconds):
            await self._ask(sent)

    async def _ask(self, sent: bytes) -> None:
        self._response = Response()
        self._writer.write(sent)
        await self._writer.drain()
        while self._response.head is None:
            self._early += await self._receive()
        self.head = self._response.head

    async def _receive(self) -> bytes:
        """Body bytes of the next piece that the peer sent, maybe none of them. Raises HttpError when it closed."""
        piece = await self._reader.read(READ_BYTES)
        if not piece:
            self._response.end()
        return self._response.feed(piece)

    async def read(self, seconds: float) -> bytes:
        """The next body bytes; b"" when the body is over. Waits at most `seconds` for the peer to send anything.

        Raises TimeoutError, OSError, or HttpError when the peer closed inside the body.
        """
        if self._early:
            body, self._early = self._early, b""
            return body
        while not self._response.done:
            async with asyncio.timeout(seconds):
                if body := await self._receive():
                    return body
        return b""

    async def read_all(self, limit: int, seconds: float) -> bytes:
        """The rest of the body within `seconds` altogether. Raises as `read`, and HttpError over `limit` bytes."""
        body = b""
        async with asyncio.timeout(seconds):
            while part := await self.read(seconds):
                body += part
                if len(body) > limit:
                    raise HttpError(f"an answer's body of more than {limit} bytes")
        return body

    def close(self) -> None:
        """Close at once. Nothing is left to send, so nothing is waited for."""
        self._writer.transport.abort()
