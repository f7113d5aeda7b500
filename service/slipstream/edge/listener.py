"""The door: a connection more than this process has room for gets a clear answer, and nobody's descriptor.

So does one that brings what is no HTTP. The answers of this module are written without aiohttp, whose own quote what
came, and say what they were made with.

A process without a free descriptor cannot accept, so it can refuse nobody either: the kernel's queue fills, clients
wait, and the loop asks again and again. So the cap lies below the descriptor limit, and is kept where connections are
accepted, before anything is read.
"""

from __future__ import annotations

import asyncio
import logging
import random
import socket
from collections.abc import Callable
from http import HTTPStatus
from typing import Final, cast

import orjson
from aiohttp import web
from aiohttp.http_exceptions import LineTooLong

from slipstream.edge.handoff import HandedOff
from slipstream.edge.problems import problem
from slipstream.edge.trace import begin
from slipstream.protocol.errors import Code, SlipstreamError

_logger = logging.getLogger(__name__)

_BACKLOG: Final = 4096
AT_ONCE: Final = 8
"""Connections that asyncio accepts in one turn of the loop; it is some turns until they are counted, or closed."""
REFUSALS: Final = 64
"""Refused connections that are open at once; the next are cut without a word."""
_LINGER: Final = 1.0
_LOG_SECONDS: Final = 10.0
_NO_HTTP: Final = "this is no HTTP request that can be read in one way alone"
FIELD_BYTES: Final = 16 * 1024
"""Longest line of a request's head: the URL, a header with a token or with cookies."""
_TOO_LONG: Final = (
    f"a line of the request's head has more than {FIELD_BYTES} bytes: send a shorter URL, fewer cookies, or a shorter"
    " header"
)


class Listener(web.BaseSite):
    """One port, and at most `most` sockets: aiohttp's on this port, and those that `elsewhere()` counts.

    `refused(code)` is called for each connection that has no room, or brings no HTTP.
    """

    __slots__ = ("_elsewhere", "_host", "_logged_at", "_most", "_port", "_refused", "_refusing")

    def __init__(
        self,
        runner: web.AppRunner,
        host: str,
        port: int,
        *,
        most: int,
        elsewhere: Callable[[], int],
        refused: Callable[[Code], None],
    ) -> None:
        super().__init__(runner)
        self._host = host
        self._port = port
        self._most = most
        self._elsewhere = elsewhere
        self._refused = refused
        self._refusing: set[_Refusal] = set()
        self._logged_at = float("-inf")

    @property
    def name(self) -> str:
        """Where it listens."""
        return f"http://{self._host}:{self._port}"

    async def start(self) -> None:
        """Listen. Raises OSError when the port is taken."""
        await super().start()
        server = await asyncio.get_running_loop().create_server(
            self._protocol, self._host, self._port, backlog=AT_ONCE, reuse_address=True
        )
        self._server = server
        for one in server.sockets:
            # The number above is also how many asyncio accepts in one turn; the kernel may keep more waiting.
            ours = socket.socket(fileno=one.fileno())
            try:
                ours.listen(_BACKLOG)
            finally:
                ours.detach()

    def _protocol(self) -> asyncio.BaseProtocol:
        server = self._runner.server
        # The public property copies the list, at each connect; a crowd of idle ones would make that dear.
        if server is not None and len(server._connections) + self._elsewhere() < self._most:  # noqa: SLF001
            return _Protocol(server, self._refused)
        self._refused(Code.OVERLOADED)
        now = asyncio.get_running_loop().time()
        if now - self._logged_at > _LOG_SECONDS:
            self._logged_at = now
            _logger.warning("the port %s has no room for more connections: they are refused", self._port)
        return _Refusal(self._refusing)


class _Protocol(web.RequestHandler):
    """One connection as aiohttp serves it, but for what it says where no handler of ours could."""

    __slots__ = ("_refused",)

    def __init__(self, server: web.Server, refused: Callable[[Code], None]) -> None:
        # As `web.Server.__call__` makes its own.
        super().__init__(server, loop=asyncio.get_running_loop(), **server._kwargs)  # noqa: SLF001
        self._refused = refused

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """400 for what is no HTTP, with nothing of what came, and the end of the connection.

        It is not logged: anybody can send it.
        """
        del message
        if request.writer.output_size > 0:
            raise ConnectionError("the answer had begun already")
        if status < HTTPStatus.INTERNAL_SERVER_ERROR:
            error = SlipstreamError(Code.BAD_REQUEST, _TOO_LONG if isinstance(exc, LineTooLong) else _NO_HTTP)
        else:
            _logger.error("an answer could not be made", exc_info=exc)
            error = SlipstreamError(Code.INTERNAL, "something failed here")
        self._refused(error.code)
        if self.transport is not None:
            self.transport.write(_answer(error))
        return HandedOff()


class _Refusal(asyncio.Protocol):
    """Says 503, half-closes, and reads until the peer has gone.

    Closing with unread input would reset the connection, and the answer with it (RFC 9112 section 9.6).
    """

    def __init__(self, refusing: set[_Refusal]) -> None:
        self._refusing = refusing
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast(asyncio.Transport, transport)
        if len(self._refusing) >= REFUSALS:
            transport.abort()
            return
        self._refusing.add(self)
        self._timer = asyncio.get_running_loop().call_later(_LINGER, transport.abort)
        error = SlipstreamError(Code.OVERLOADED, "this process has no room for another connection")
        transport.write(_answer(error, f"Retry-After: {random.randint(1, 5)}\r\n"))  # noqa: S311 jitter is no secret
        transport.write_eof()

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._refusing.discard(self)
        if self._timer is not None:
            self._timer.cancel()


def _answer(error: SlipstreamError, more: str = "") -> bytes:
    """The whole answer, the last of its connection. more: headers, each with its line end."""
    trace = begin(None)
    body = orjson.dumps(problem(error, trace.trace_id))
    head = (
        f"HTTP/1.1 {error.status} {HTTPStatus(error.status).phrase}\r\nContent-Type: application/problem+json\r\n"
        f"Content-Length: {len(body)}\r\nCache-Control: no-store\r\n{more}"
        f"traceparent: {trace.header}\r\nX-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body
