"""One compressed block for many connections: gzip whose parts do not refer to one another.

A deflate stream may be cut where nothing behind the cut refers to what lies before it. `Z_FULL_FLUSH` makes such a
cut, so that a block made once is right for every connection that has had a gzip header, whatever else it has had:
members of an audience share it, and whoever joins in the middle needs nothing but the header. There is no trailer: a
checksum would be each connection's own, and readers of an endless stream take none (RFC 1952; seen to work in
Chromium, Firefox, curl, zlib and aiohttp).
"""

from __future__ import annotations

import zlib
from functools import cache
from typing import Final

GZIP_HEADER: Final = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
"""RFC 1952 section 2.3: deflate, no name, no time, unknown system."""

_STORED_MAX: Final = 65_535
_SYNC: Final = b"\x00\x00\x00\xff\xff"
_LEVEL: Final = 6
_RAW: Final = -15


_WORTH: Final = 1_024
"""Bytes of a batch from which on compression pays: one event of 300 bytes shrinks by a fifth, ten by two thirds."""


@cache
def _compressor() -> zlib._Compress:
    # A new one for each block costs three times as much (measured), and holds 256 KiB. One for the whole process is
    # enough: after a full flush nothing of one block is left for the next.
    return zlib.compressobj(_LEVEL, zlib.DEFLATED, _RAW)


def deflated(data: bytes) -> bytes:
    """`data` as a block that ends at a byte, and that anything may follow; stored when it is too little to pay."""
    if len(data) < _WORTH:
        return stored(data)
    compressor = _compressor()
    return compressor.compress(data) + compressor.flush(zlib.Z_FULL_FLUSH)


def stored(data: bytes) -> bytes:
    """`data` as deflate blocks that are not compressed (RFC 1951 section 3.2.4): ten bytes more, and no work.

    An empty block ends it, as a flush does: Go's reader (Caddy, Traefik) hands out what it has only there (measured).
    """
    blocks = [_stored(data[at : at + _STORED_MAX]) for at in range(0, len(data), _STORED_MAX)]
    return b"".join((*blocks, _SYNC))


def _stored(data: bytes) -> bytes:
    size = len(data)
    return b"\x00" + size.to_bytes(2, "little") + (size ^ 0xFFFF).to_bytes(2, "little") + data
