"""The recent records of one tenant, kept in memory without a hole.

Rules of this file:
1. The ring is contiguous: after `base`, every event that the stream stored is here, up to `last`.
2. Only the front is evicted. What the ring cannot hold is in the stream; nothing is lost by eviction.
3. Times are arguments (milliseconds since the epoch, the stream's own clock).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from itertools import islice
from operator import attrgetter
from typing import NamedTuple

from slipstream.protocol.event import Record

_SEQ = attrgetter("seq")
_COMPACT_AT = 512
_EVICTED = Record(0, 0, "", "", b"")


class Limits(NamedTuple):
    """How much one ring may hold: events, bytes (as `Record.size` weighs them) and age in milliseconds."""

    events: int
    size: int
    age_ms: int


class Ring:
    """Bounded, contiguous window over the tail of a stream.

    `base` is the sequence after which the ring is complete and `last` the newest one it has seen; both are equal
    in an empty ring. `base_time_ms` is the stored time of the event at `base`, or None where it is not known: it lets
    a reader that stands exactly at the edge of the ring be checked without asking the stream.
    """

    __slots__ = ("_head", "_records", "base", "base_time_ms", "last", "last_time_ms", "limits", "size")

    def __init__(self, limits: Limits, base: int, base_time_ms: int | None = None) -> None:
        self.limits = limits
        self._records: list[Record] = []
        self._head = 0
        self.size = 0
        self.base = base
        self.base_time_ms = base_time_ms
        self.last = base
        self.last_time_ms = base_time_ms

    def __len__(self) -> int:
        return len(self._records) - self._head

    def append(self, record: Record) -> None:
        """Take the next record. A sequence that does not rise is a caller's fault: ValueError."""
        if record.seq <= self.last:
            message = f"record {record.seq} does not follow {self.last}"
            raise ValueError(message)
        self._records.append(record)
        self.size += record.size
        self.last = record.seq
        self.last_time_ms = record.time_ms
        limits = self.limits
        while self.size > limits.size or len(self) > limits.events:
            self._evict()
        self.expire(record.time_ms)

    def expire(self, now_ms: int) -> None:
        """Drop what is older than the age limit at `now_ms`."""
        oldest = now_ms - self.limits.age_ms
        while self._head < len(self._records) and self._records[self._head].time_ms < oldest:
            self._evict()

    def trim(self, size: int) -> int:
        """Evict from the front until at least `size` bytes are free or the ring is empty; the bytes freed."""
        before = self.size
        while before - self.size < size and len(self):
            self._evict()
        return before - self.size

    def covers(self, cursor: int) -> bool:
        """True when every event after `cursor` that this ring has seen the stream store is still here."""
        return cursor >= self.base

    def between(self, after: int, to: int) -> list[Record]:
        """The records whose sequence is greater than `after` and at most `to`, ascending, as far as they are here."""
        start = bisect_right(self._records, after, lo=self._head, key=_SEQ)
        end = bisect_right(self._records, to, lo=start, key=_SEQ)
        return self._records[start:end]

    def after(self, cursor: int) -> Iterator[Record]:
        """The records whose sequence is greater than `cursor`, ascending. Only meaningful when `covers(cursor)`."""
        start = bisect_right(self._records, cursor, lo=self._head, key=_SEQ)
        return islice(self._records, start, None)

    def time_of(self, seq: int) -> int | None:
        """The stored time of the event `seq` in milliseconds, or None where this ring does not know it."""
        if seq == self.base:
            return self.base_time_ms
        index = bisect_right(self._records, seq, lo=self._head, key=_SEQ) - 1
        if index >= self._head and self._records[index].seq == seq:
            return self._records[index].time_ms
        return None

    def _evict(self) -> None:
        record = self._records[self._head]
        # Its place is freed later, many at once; its data, which may be a quarter of a megabyte, now.
        self._records[self._head] = _EVICTED
        self._head += 1
        self.size -= record.size
        self.base = record.seq
        self.base_time_ms = record.time_ms
        if self._head >= _COMPACT_AT and self._head * 2 >= len(self._records):
            del self._records[: self._head]
            self._head = 0
