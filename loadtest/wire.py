"""What arrives on the streams: counted on every connection, taken apart and checked on some of them. Pure.

Counting must cost next to nothing: at a million events a second no Python runs per event, so events are counted as
occurrences of a marker that only a published payload has (control frames have data lines too). The inspected
connections pay for a full parse, and tell what counting cannot: order, loss, and latency.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from loadtest.latency import Histogram
from loadtest.tally import Findings

TIMESTAMP: Final = b'{"t":'
"""How a payload begins; the publisher's monotonic clock in ns follows."""

MARKER: Final = b"data: " + TIMESTAMP
"""Stands in the stream once for each event, and nowhere else. The longer it is the faster it is counted (measured)."""

_LF: Final = 0x0A
_READY: Final = b"stream.ready"
_GAP: Final = b"stream.gap"
_ERROR: Final = b"error"


class MarkerCounter:
    """One receive buffer for all streams of a process, and the count of a marker in what was received.

    Read into `window`, then call `count` at once. A marker that two reads split is counted with the second; one that a
    chunk header of the transfer coding splits is not, and shows as a difference to the number published.
    """

    def __init__(self, marker: bytes = MARKER, capacity: int = 256 * 1024) -> None:
        if not marker or b"\n" in marker:
            raise ValueError(f"a marker is within one line and not empty, not {marker!r}")
        self.marker = marker
        self._keep = len(marker) - 1
        self._buffer = bytearray(self._keep + capacity)
        self.window = memoryview(self._buffer)[self._keep :]
        self._tails: dict[int, bytes] = {}

    def count(self, stream: int, received: int) -> int:
        """Markers that end in the first `received` (> 0) bytes of `window`, which are `stream`'s next."""
        start, end = self._keep, self._keep + received
        buffer = self._buffer
        if self._tails and (tail := self._tails.pop(stream, None)):
            start -= len(tail)
            buffer[start : self._keep] = tail
        if buffer[end - 1] != _LF:  # No marker goes over a line's end, and nearly every read ends with one.
            self._tails[stream] = bytes(buffer[max(start, end - self._keep) : end])
        return buffer.count(self.marker, start, end)

    def forget(self, stream: int) -> None:
        """The stream ended; its number may be used again."""
        self._tails.pop(stream, None)


class FrameCounter:
    """As MarkerCounter, for readers that come back: only frames that are whole are counted, and their last id is kept.

    A frame that a lost connection cut is not counted: it comes again, since the id is that of the frame before it. A
    frame lies within one chunk of the transfer coding, so that what it is cut by is only where a read ended.
    """

    def __init__(self, marker: bytes = MARKER, capacity: int = 256 * 1024, frame_max: int = 256 * 1024) -> None:
        self.marker = marker
        self._keep = frame_max
        self._buffer = bytearray(frame_max + capacity)
        self.window = memoryview(self._buffer)[frame_max:]
        self.ids: dict[int, bytes] = {}
        self._tails: dict[int, bytes] = {}

    def count(self, stream: int, received: int) -> int:
        """Events in the frames that the first `received` (> 0) bytes of `window` complete. Raises MalformedBody."""
        start, end = self._keep, self._keep + received
        buffer = self._buffer
        if self._tails and (tail := self._tails.pop(stream, None)):
            start -= len(tail)
            buffer[start : self._keep] = tail
        if not buffer.endswith(b"\n\n\r\n", start, end):  # Nearly every read ends with a frame and its chunk.
            after = buffer.rfind(b"\n\n", start, end)
            whole = after + 2 if after >= 0 else start
            if end - whole > self._keep:
                raise MalformedBody(f"a frame of more than {self._keep:,} bytes")
            self._tails[stream] = bytes(buffer[whole:end])
            end = whole
        if (at := buffer.rfind(b"\nid: ", start, end)) >= 0:
            self.ids[stream] = bytes(buffer[at + 5 : buffer.find(b"\n", at + 5)])
        return buffer.count(self.marker, start, end)

    def forget(self, stream: int) -> None:
        """The connection ended, and with it the frame that was not whole; the id stays."""
        self._tails.pop(stream, None)


class MalformedBody(Exception):
    """A body that is not in chunked coding (RFC 9112 section 7.1)."""


class Dechunker:
    """Takes the chunked transfer coding off a body that comes in pieces of any size, one whole chunk at a time."""

    def __init__(self) -> None:
        self._pending = b""
        self.ended = False

    def feed(self, data: bytes) -> bytes:
        """The content of the chunks that the next piece of the body completes. Raises MalformedBody."""
        data = self._pending + data
        content: list[bytes] = []
        at = 0
        while not self.ended and (line_end := data.find(b"\r\n", at)) >= 0:
            start = line_end + 2
            end = start + _chunk_size(data[at:line_end])
            if len(data) < end + 2:
                break
            if data[end : end + 2] != b"\r\n":
                raise MalformedBody(f"{data[end : end + 2]!r} behind a chunk, not CR LF")
            content.append(data[start:end])
            self.ended = start == end
            at = end + 2
        self._pending = data[at:]
        return b"".join(content)


def _chunk_size(line: bytes) -> int:
    try:
        return int(line.partition(b";")[0], 16)
    except ValueError as error:
        raise MalformedBody(f"{line[:64]!r} is not the size of a chunk") from error


@dataclass(slots=True)
class Past:
    """What a client that comes back knows of itself on a new connection.

    opened_ns: when this connection began; what was published before it is told in `missed`, not as latency; seen: the
    sequence numbers of the events that this client has had, on this connection and those before it.
    """

    opened_ns: int
    missed: Histogram
    seen: set[int]


class Numbers:
    """The sequence numbers of one client's events, in ids `<epoch>-<seq>-<mark>`; other ids say nothing about them.

    A position is an id without its dashes. findings: is told of disorder, holes, and events that are in `seen` already.
    """

    def __init__(self, findings: Findings, seen: set[int] | None) -> None:
        self._findings = findings
        self._seen = seen
        self._epoch = b""
        self._seq: int | None = None

    @property
    def known(self) -> bool:
        """Whether there is a number that the next one is compared with."""
        return self._seq is not None

    def moved(self, position: list[bytes]) -> None:
        """The next event comes after this one, as the stream itself says."""
        if len(position) >= 2:
            self._epoch, self._seq = position[0], int(position[1])

    def event(self, position: list[bytes]) -> None:
        """An event came."""
        if len(position) < 2:
            return
        epoch, seq = position[0], int(position[1])
        if self._seen is not None:
            self._findings.duplicated += seq in self._seen
            self._seen.add(seq)
        if self._seq is not None:
            if epoch != self._epoch or seq <= self._seq:
                self._findings.disordered += 1
            else:
                self._findings.missing += seq - self._seq - 1
        self._epoch, self._seq = epoch, seq


class StreamInspector:
    """Takes one stream apart frame by frame and adds what it finds to `findings`."""

    def __init__(self, findings: Findings, *, chunked: bool, past: Past | None = None) -> None:
        self._findings = findings
        self._past = past
        self._dechunker = Dechunker() if chunked else None
        self._partial = b""
        self._numbers = Numbers(findings, None if past is None else past.seen)

    def feed(self, data: bytes, now_ns: int) -> None:
        """The next bytes of the body, received at `now_ns` of the publisher's clock. Raises MalformedBody."""
        if self._dechunker is not None:
            data = self._dechunker.feed(data)
        *frames, self._partial = (self._partial + data).split(b"\n\n")
        for frame in frames:
            self._frame(frame, now_ns)

    def _frame(self, frame: bytes, now_ns: int) -> None:
        fields = dict(line.split(b": ", 1) for line in frame.split(b"\n") if b": " in line and line[0] != 0x3A)
        data = fields.get(b"data", b"")
        position = fields.get(b"id", b"").split(b"-")
        if data.startswith(TIMESTAMP):
            self._findings.events += 1
            published_ns = int(data[len(TIMESTAMP) : data.index(b",")])
            times = self._findings.latency
            if self._past is not None and published_ns < self._past.opened_ns:
                times = self._past.missed
            times.record(now_ns - published_ns)
            self._numbers.event(position)
            return
        name = fields.get(b"event")
        if name == _ERROR:
            self._findings.errors[data.decode(errors="replace")] += 1
        elif name == _GAP:
            self._findings.gaps += 1
        if not self._numbers.known or name in (_READY, _GAP):
            self._numbers.moved(position)
