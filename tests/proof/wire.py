"""What lies under the reader's event stream: where a connection is to be cut, and chunked framing. Pure."""

import random
import zlib
from dataclasses import dataclass

from tests.proof.frames import FrameError


@dataclass(slots=True)
class Cut:
    """Where the reader breaks its connection off: after body bytes or after events. reset: by RST, else by FIN."""

    octets: int | None = None
    events: int | None = None
    reset: bool = False

    @classmethod
    def draw(cls, dice: random.Random) -> "Cut":
        """Mostly none; else after 1 byte to 200 kB, small numbers as likely as large ones, or after 1 to 500 events."""
        kind = dice.choice(("none", "none", "octets", "octets", "events"))
        reset = dice.random() < 0.5
        if kind == "octets":
            return cls(octets=int(10 ** dice.uniform(0.0, 5.3)), reset=reset)
        if kind == "events":
            return cls(events=int(10 ** dice.uniform(0.0, 2.7)), reset=reset)
        return cls()


GZIP_WINDOW = 31
"""zlib's way of saying: a gzip header (RFC 1952)."""


class Body:
    """A response's body without its transfer framing (RFC 9112 section 7.1), up to `octets` bytes if given.

    Where it is gzip, these are the bytes before it is inflated. ended: the last chunk came. spent: `octets` are used
    up. at_frame_end: whether what came ends with a whole frame.
    """

    def __init__(self, octets: int | None) -> None:
        self.chunked = False
        self._inflater: zlib._Decompress | None = None
        self.ended = False
        self.spent = False
        self.at_frame_end = True
        self._octets = octets
        self._rest = b""
        self._left = 0

    @property
    def gzip(self) -> bool:
        """Whether it is inflated."""
        return self._inflater is not None

    def inflate(self) -> None:
        """It comes as gzip."""
        self._inflater = zlib.decompressobj(GZIP_WINDOW)

    def feed(self, block: bytes) -> bytes:
        """The body bytes in these bytes; none beyond the cut. Raises FrameError on malformed framing or gzip."""
        body = self._dechunk(block) if self.chunked else block
        if self._octets is not None:
            body = body[: self._octets]
            self._octets -= len(body)
            self.spent = self._octets == 0
        if self._inflater is not None:
            try:
                body = self._inflater.decompress(body)
            except zlib.error as error:
                raise FrameError(f"no gzip: {error}") from error
        if body:
            self.at_frame_end = body.endswith(b"\n\n")
        return body

    def _dechunk(self, block: bytes) -> bytes:
        """`_left` counts what is to come of a chunk, the CR LF behind it included."""
        wire, at = self._rest + block, 0
        parts: list[bytes] = []
        while at < len(wire) and not self.ended:
            if not self._left:
                end = wire.find(b"\r\n", at)
                if end < 0:
                    break
                try:
                    self._left = int(wire[at:end], 16) + 2
                except ValueError as error:
                    raise FrameError(f"no chunk size: {wire[at:end][:80]!r}") from error
                self.ended = self._left == 2
                at = end + 2
            part = wire[at : at + self._left]
            self._left -= len(part)
            at += len(part)
            parts.append(part[: max(0, len(part) - max(0, 2 - self._left))])
        self._rest = wire[at:]
        return b"".join(parts)
