"""A request's body, whole: by its deadline, within its size, inflated where it came as gzip.

aiohttp is told not to inflate by itself (`auto_decompress=False` in server.py): it would do so before anybody asks how
large the result is.
"""

from __future__ import annotations

import asyncio
import zlib
from typing import Final, Protocol

from aiohttp import HttpVersion11, web

from slipstream.protocol.errors import Code, SlipstreamError, quoted

_GZIP: Final = frozenset({"gzip", "x-gzip"})
_GZIP_WINDOW: Final = 31
"""zlib's way of saying: a gzip header and trailer (RFC 1952), checked."""
_MEMBERS: Final = 1_000
"""Of a gzip body: each costs work, also an empty one of 20 bytes, and what follows it is copied."""
_OVERHEAD: Final = 64 * 1_024
"""What gzip may add to a body that it cannot shorten: 5 bytes for each block, 18 for each member."""

_UNASKED: Final = web.RequestKey("unasked", bool)
"""Set while a client holds its body back until it is asked for it."""


class _Decoder(Protocol):
    def add(self, part: bytes) -> None: ...

    def end(self) -> bytes: ...


async def expect(request: web.Request) -> None:
    """Pass over `Expect` (RFC 9110 section 10.1.1): `read_body` answers it, so that what is refused need not be sent.

    aiohttp's own way would ask for every body, and quote any other expectation in a 417.
    """
    if request.version >= HttpVersion11 and request.headers["Expect"].lower() == "100-continue":
        request[_UNASKED] = True


def open_ended(request: web.Request) -> bool:
    """Whether nobody can tell if the client sends its body still: it was not asked for it, and may leave it out."""
    return _UNASKED in request and not request.content.is_eof()


async def read_body(request: web.Request, most: int, deadline: float) -> bytes:
    """The body of `request`, at most `most` bytes of it when inflated, complete within `deadline` seconds.

    Raises SlipstreamError: 413, 408, 415 for another coding than gzip, 400 for gzip that is broken.
    """
    decoder = _decoder(request, most)
    expected_bytes(request, most)
    await _ask_for(request)
    try:
        async with asyncio.timeout(deadline):
            async for part in request.content.iter_any():
                decoder.add(part)
    except TimeoutError as error:
        raise SlipstreamError(
            Code.TIMEOUT, f"the body was not complete after {deadline:g} s", status=408, retry_after=1.0
        ) from error
    return decoder.end()


def expected_bytes(request: web.Request, most: int) -> int:
    """How large the body can be when it is read: as it says, or `most` where it does not, or comes compressed.

    Raises SlipstreamError, 413, where it says more than `most`.
    """
    declared = request.content_length
    if declared is not None and declared > most:
        raise _too_large(most)
    return most if declared is None or "Content-Encoding" in request.headers else declared


async def _ask_for(request: web.Request) -> None:
    if request.pop(_UNASKED, False):
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        # It is no part of the answer.
        request.writer.output_size = 0


def _decoder(request: web.Request, most: int) -> _Decoder:
    codings = [coding.strip().lower() for coding in request.headers.getall("Content-Encoding", ())]
    if not codings:
        return _Plain(most)
    if len(codings) == 1 and codings[0] in _GZIP:
        return _Gzip(most)
    raise SlipstreamError(
        Code.BAD_REQUEST,
        f"Content-Encoding {quoted(', '.join(codings))} is not read here: send the body as gzip, or as it is",
        status=415,
    )


class _Plain:
    def __init__(self, most: int) -> None:
        self._found = bytearray()
        self._most = most

    def add(self, part: bytes) -> None:
        self._found += part
        if len(self._found) > self._most:
            raise _too_large(self._most)

    def end(self) -> bytes:
        return bytes(self._found)


class _Gzip:
    """Inflates part by part, and never one byte more than the most: a bomb costs what an honest body may.

    What comes in is bounded as well: an endless row of empty members would inflate to nothing.
    """

    def __init__(self, most: int) -> None:
        self._found = bytearray()
        self._most = most
        self._member = zlib.decompressobj(_GZIP_WINDOW)
        self._read = 0
        self._members = 0

    def add(self, part: bytes) -> None:
        self._read += len(part)
        if self._read > self._most + _OVERHEAD:
            raise _too_large(self._most)
        while part:
            if self._member.eof or not self._members:
                # Members may follow one another (RFC 1952 section 2.2).
                self._member = zlib.decompressobj(_GZIP_WINDOW)
                self._members += 1
            if self._members > _MEMBERS:
                raise SlipstreamError(Code.BAD_REQUEST, f"the body is more than {_MEMBERS} pieces of gzip: send one")
            try:
                self._found += self._member.decompress(part, self._most + 1 - len(self._found))
            except zlib.error as error:
                raise SlipstreamError(Code.BAD_REQUEST, f"the body is not gzip: {error}") from error
            if len(self._found) > self._most:
                raise _too_large(self._most)
            part = self._member.unused_data

    def end(self) -> bytes:
        if self._members and not self._member.eof:
            raise SlipstreamError(Code.BAD_REQUEST, "the body is not whole: its gzip ends too early")
        return bytes(self._found)


def _too_large(most: int) -> SlipstreamError:
    return SlipstreamError(
        Code.BAD_REQUEST, f"the body is larger than {most} bytes: send fewer or smaller events", status=413
    )
