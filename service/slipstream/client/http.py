"""HTTP/1.1 responses from bytes (RFC 9112), as far as a GET of an event stream needs them: pure, incremental."""

import re
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final

MAX_HEAD_BYTES: Final = 64 * 1024

_STATUS: Final = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9]{2})(?: (.*))?")
_LENGTH: Final = re.compile(r"[0-9]{1,18}", re.ASCII)
_SIZE: Final = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;.*)?")
_MAX_LINE: Final = 4096


class HttpError(Exception):
    """The peer does not speak HTTP, or its answer ended too early; the message says which and where."""


@dataclass(frozen=True, slots=True)
class Head:
    """Status line and headers. headers: names in lower case; repeated ones joined by `, ` (RFC 9110 section 5.3)."""

    status: int
    reason: str
    headers: dict[str, str] = field(default_factory=dict)


class _State(Enum):
    HEAD = auto()
    IDENTITY = auto()
    SIZE = auto()
    CHUNK = auto()
    CHUNK_END = auto()
    TRAILER = auto()
    DONE = auto()


class Response:
    """Reads one response. `head` is None until its last header came; `done` is True once the body has ended."""

    def __init__(self) -> None:
        self.head: Head | None = None
        self._state = _State.HEAD
        self._buffer = bytearray()
        self._left: int | None = None

    @property
    def done(self) -> bool:
        """Whether the whole body came."""
        return self._state is _State.DONE

    @property
    def reusable(self) -> bool:
        """Whether another answer may follow on the same connection (RFC 9112 section 9.3).

        So it is when this one is over, nothing came behind it, and the peer does not close.
        """
        options = "" if self.head is None else self.head.headers.get("connection", "")
        return self.done and not self._buffer and "close" not in options.lower()

    def feed(self, data: bytes) -> bytes:
        """The body bytes in these bytes, without framing. Raises HttpError on malformed framing."""
        if self._state is _State.IDENTITY:
            return self._identity(data)
        self._buffer += data
        body: list[bytes] = []
        while self._step(body):
            pass
        return b"".join(body)

    def end(self) -> None:
        """The peer closed. Raises HttpError when head or body are not complete; a body without length ends so."""
        if self._state is _State.IDENTITY and self._left is None:
            self._state = _State.DONE
        if self._state is _State.HEAD:
            raise HttpError("the connection closed before the response's headers ended")
        if not self.done:
            raise HttpError("the connection closed inside the response's body")

    def _step(self, body: list[bytes]) -> bool:
        """Consume one element of the buffer; False when it needs more bytes or the response is over."""
        match self._state:
            case _State.HEAD:
                return self._take_head()
            case _State.IDENTITY:
                if self._buffer:
                    body.append(self._identity(bytes(self._buffer)))
                    self._buffer.clear()
                return False
            case _State.SIZE:
                return self._take_size()
            case _State.CHUNK:
                return self._take_chunk(body)
            case _State.CHUNK_END:
                return self._take_chunk_end()
            case _State.TRAILER:
                line = self._line()
                if line == b"":
                    self._state = _State.DONE
                return line is not None
            case _State.DONE:
                return False

    def _take_head(self) -> bool:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(self._buffer) > MAX_HEAD_BYTES:
                raise HttpError(f"response headers of more than {MAX_HEAD_BYTES} bytes")
            return False
        status_line, *lines = bytes(self._buffer[:end]).split(b"\r\n")
        del self._buffer[: end + 4]
        found = _STATUS.fullmatch(status_line)
        if found is None:
            raise HttpError(f"not an HTTP/1.1 response: it begins with {status_line[:60]!r}")
        headers: dict[str, str] = {}
        for line in lines:
            name, colon, value = line.decode("latin-1").partition(":")
            if not colon or not name or name != name.strip():
                raise HttpError(f"not a response header: {line[:60]!r}")
            key, value = name.lower(), value.strip(" \t")
            headers[key] = f"{headers[key]}, {value}" if key in headers else value
        status = int(found[2])
        if status < 200:  # noqa: PLR2004 - an interim response (RFC 9110 section 15.2): the real one follows
            return True
        self.head = Head(status, (found[3] or b"").decode("latin-1"), headers)
        self._state = self._body_state(self.head)
        return True

    def _body_state(self, head: Head) -> _State:
        """How the body is framed (RFC 9112 section 6.3)."""
        if head.status in (204, 304):
            return _State.DONE
        coding = head.headers.get("transfer-encoding")
        if coding is not None:
            if coding.lower() != "chunked":
                raise HttpError(f"unknown transfer encoding {coding!r}: only chunked is understood")
            return _State.SIZE
        length = head.headers.get("content-length")
        if length is None:
            return _State.IDENTITY
        if not _LENGTH.fullmatch(length):
            raise HttpError(f"malformed content length {length!r}")
        self._left = int(length)
        return _State.IDENTITY if self._left else _State.DONE

    def _identity(self, data: bytes) -> bytes:
        if self._left is None:
            return data
        data = data[: self._left]
        self._left -= len(data)
        if not self._left:
            self._state = _State.DONE
        return data

    def _take_size(self) -> bool:
        line = self._line()
        if line is None:
            return False
        found = _SIZE.fullmatch(line)
        if found is None:
            raise HttpError(f"malformed chunk size {line[:60]!r}")
        self._left = int(found[1], 16)
        self._state = _State.CHUNK if self._left else _State.TRAILER
        return True

    def _take_chunk(self, body: list[bytes]) -> bool:
        if not self._buffer or self._left is None:
            return False
        part = bytes(self._buffer[: self._left])
        del self._buffer[: self._left]
        self._left -= len(part)
        body.append(part)
        if not self._left:
            self._state = _State.CHUNK_END
        return True

    def _take_chunk_end(self) -> bool:
        if len(self._buffer) < 2:  # noqa: PLR2004 - CR LF
            return False
        if self._buffer[:2] != b"\r\n":
            raise HttpError(f"a chunk is followed by {bytes(self._buffer[:2])!r} in place of CR LF")
        del self._buffer[:2]
        self._state = _State.SIZE
        return True

    def _line(self) -> bytes | None:
        end = self._buffer.find(b"\r\n")
        if end < 0:
            if len(self._buffer) > _MAX_LINE:
                raise HttpError(f"a chunk's size or trailer line of more than {_MAX_LINE} bytes")
            return None
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 2]
        return line
