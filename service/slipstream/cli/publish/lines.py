"""The lines of a file or of stdin as they come, without ever blocking the loop that talks to NATS."""

import asyncio
import os
import stat
import sys
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import BinaryIO, Final

_LINE_BYTES: Final = 32 * 1024 * 1024
"""Bound of one line: an event has at most 8 MiB, and JSON's escapes can make a line of it several times longer."""


def open_source(file: str) -> BinaryIO:
    """The file, or stdin for `-`. A named pipe is waited for until someone writes to it. Raises OSError."""
    return sys.stdin.buffer if file == "-" else Path(file).open("rb")


def size_of(source: BinaryIO) -> int | None:
    """Its bytes when it is a regular file, else None."""
    found = os.fstat(source.fileno())
    return found.st_size if stat.S_ISREG(found.st_mode) else None


async def read_lines(source: BinaryIO) -> AsyncGenerator[bytes]:
    """The lines of an open file or pipe, line ends included; closes it.

    Raises OSError, and ValueError for a line that does not end.
    """
    with source:
        if size_of(source) is None:
            async for line in _read_pipe(source):
                yield line
        else:
            for line in source:
                yield line


async def _read_pipe(source: BinaryIO) -> AsyncGenerator[bytes]:
    reader = asyncio.StreamReader(limit=_LINE_BYTES)
    # The loop makes the open file non-blocking, which a terminal shares with the shell, and closes it at its end.
    kept = os.dup(source.fileno())
    try:
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), source
        )
        try:
            while line := await reader.readline():
                yield line
        finally:
            transport.close()
    finally:
        os.set_blocking(kept, True)
        os.close(kept)
