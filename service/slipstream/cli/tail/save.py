"""`--save`: events as lines of JSON, appended to a file; whole lines, or none."""

import errno
import fcntl
import json
import os
import stat
from pathlib import Path
from typing import Final, Self

from slipstream.protocol.errors import SlipstreamError
from slipstream.protocol.position import Position

_LOOKED_AT: Final = 4 * 1024 * 1024
"""How far back the last line is looked for: 16 times the largest event by default."""

_BEGIN: Final = b'{"id": "'
"""How each line of ours begins."""


class Save:
    """An open file that this process alone appends to.

    last_id: of the last whole line that was there, None where it tells none. torn: whether the file ended within a
    line of ours (a power failure, a SIGKILL within a write of several pages): it is cut away, and its event comes
    again, for it is after `last_id`. Whatever else lacks the end of its line gets it before what is appended.
    """

    def __init__(self, path: Path) -> None:
        """Open it, or make it. Raises OSError; BlockingIOError where another process has it."""
        self._file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            self._size = _regular(os.fstat(self._file))
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            begin = max(0, self._size - _LOOKED_AT)
            whole, rest = _split(os.pread(self._file, self._size - begin, begin))
            if rest:
                self._size -= len(rest)
                os.ftruncate(self._file, self._size)
        except BaseException:
            os.close(self._file)
            raise
        self.torn = bool(rest)
        self.last_id = _id_of(whole)
        self._ahead = b"\n" if whole and not whole.endswith(b"\n") else b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._file)

    def append(self, line: str) -> None:
        """One line, without its end. Raises OSError, and then nothing of it is in the file."""
        left = self._ahead + line.encode() + b"\n"
        size = self._size + len(left)
        try:
            while left:
                left = left[os.write(self._file, left) :]
        except OSError:
            os.ftruncate(self._file, self._size)
            raise
        self._size, self._ahead = size, b""

    def sync(self) -> None:
        """Return when what was appended would survive a power failure. Raises OSError."""
        os.fdatasync(self._file)


def _regular(found: os.stat_result) -> int:
    """The size of a regular file. Raises OSError for anything else."""
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "no regular file: give --save one, or use --json and a pipe")
    return found.st_size


def _split(end: bytes) -> tuple[bytes, bytes]:
    """The end of the file without, and then, what is the beginning of a line of ours and no more."""
    begin = end.rfind(b"\n") + 1
    rest = end[begin:]
    if not (rest.startswith(_BEGIN) or _BEGIN.startswith(rest)):
        return end, b""
    try:
        json.loads(rest)
    except ValueError:
        return end[:begin], rest
    return end, b""


def _id_of(whole: bytes) -> str | None:
    lines = whole.splitlines()
    if not lines:
        return None
    try:
        id_ = json.loads(lines[-1])["id"]
        Position.parse(id_)
    except (ValueError, LookupError, TypeError, AttributeError, SlipstreamError):
        return None
    return str(id_)
