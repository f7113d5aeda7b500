"""The socket taken out of aiohttp: it has done the handshake, from here on the descriptor is ours.

Each rule was paid for in a trial: the transport's buffer must be empty, because abort drops what is in it; dup and
abort come last, with no await behind them; the head is written by us, because no response of aiohttp goes out.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from email.utils import formatdate
from typing import Final

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

from slipstream.protocol.errors import Code, SlipstreamError

_EMPTY_SECONDS: Final = 5.0
_POLL_SECONDS: Final = 0.01
_PROBES: Final = 3
_HTTP_11: Final = (1, 1)


class HandedOff(web.StreamResponse):
    """What a handler returns to aiohttp when the connection is no longer aiohttp's: nothing is written."""

    def __init__(self) -> None:
        super().__init__()
        self.force_close()

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Nothing to prepare."""
        del request
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        """Nothing to end."""
        del data


def chunks(request: web.Request) -> bool:
    """Whether the client's HTTP version knows chunked transfer (RFC 9112 7.1); 1.0 gets a body that ends by closing."""
    return (request.version.major, request.version.minor) >= _HTTP_11


async def quiet(request: web.Request) -> None:
    """Return when all that aiohttp wrote before on this connection has left the process. Raises TIMEOUT."""
    until = time.monotonic() + _EMPTY_SECONDS
    while True:
        transport = request.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("the client left before its stream began")
        if not transport.get_write_buffer_size():
            return
        if time.monotonic() > until:
            raise SlipstreamError(Code.TIMEOUT, "earlier answers on this connection are not read", retry_after=1.0)
        await asyncio.sleep(_POLL_SECONDS)


def detach(request: web.Request, *, sndbuf: int, heartbeat: float, write_deadline: float) -> int:
    """Take the descriptor over. The caller must have awaited `quiet`, and must not await before it has adopted it."""
    transport = request.transport
    if transport is None or transport.is_closing() or transport.get_write_buffer_size():
        raise ConnectionResetError("the connection changed while its stream began")
    old = transport.get_extra_info("socket")
    if old is None:
        raise ConnectionResetError("the client left before its stream began")
    try:
        fd = os.dup(old.fileno())
    except OSError as error:
        raise SlipstreamError(
            Code.OVERLOADED, f"this process has no descriptor for a stream left: {error.strerror}", retry_after=2.0
        ) from error
    try:
        ours = socket.socket(fileno=fd)
        try:
            ours.setblocking(False)
            # A reader that stops takes 4.3 MB of kernel memory at the default.
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, sndbuf)
            if ours.family != socket.AF_UNIX:
                ours.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                # Behind our own deadlines; the kernel would have patience for 15 minutes, and 2 hours (tcp(7)).
                ours.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int((write_deadline + heartbeat) * 1_000))
                ours.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
                ours.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, max(1, round(heartbeat)))
                ours.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, max(1, round(heartbeat / _PROBES)))
                ours.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, _PROBES)
        finally:
            ours.detach()
    except OSError as error:
        os.close(fd)
        raise ConnectionResetError("the client left before its stream began") from error
    transport.abort()
    return fd


def head(headers: dict[str, str], *, chunked: bool) -> bytes:
    """The response head, whole: aiohttp writes none for a stream."""
    lines = ["HTTP/1.1 200 OK", f"Date: {formatdate(usegmt=True)}", "Connection: close"]
    if chunked:
        lines.append("Transfer-Encoding: chunked")
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
