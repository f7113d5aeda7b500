"""Streams that end at a time known from the beginning: one table of seconds for all of them, no timer for each."""

from __future__ import annotations

import math
from heapq import heapify, heappop, heappush
from typing import Final, NamedTuple

from slipstream.fanout.connection import Connection, Lifetime

_SPARE: Final = 1_024
"""Seconds in which nothing is due any more that are put up with, beside as many as there are others."""


class Due(NamedTuple):
    """What is to be done for one stream now: send `block`, and where it is the `last`, close."""

    connection: Connection
    lifetime: Lifetime
    last: bool

    @property
    def block(self) -> bytes:
        """What it is told."""
        return self.lifetime.final if self.last else self.lifetime.warning

    @property
    def holds(self) -> bool:
        """False where the stream has ended, or has another lifetime now."""
        return self.connection.lifetime is self.lifetime


class Lifetimes:
    """The streams of a pod that have a lifetime. Times are Unix seconds, kept to whole ones, early for a warning."""

    def __init__(self) -> None:
        self._slots: dict[int, dict[Connection, None]] = {}
        # Every second that a slot was made for; some of those slots are gone when their time comes.
        self._seconds: list[int] = []

    def __len__(self) -> int:
        return sum(map(len, self._slots.values()))

    def add(self, connection: Connection, lifetime: Lifetime) -> None:
        """Watch over a stream."""
        connection.lifetime = lifetime
        self._put(connection, math.floor(lifetime.warn_at))

    def discard(self, connection: Connection) -> None:
        """The stream has ended; one that has no lifetime may be discarded, too."""
        if connection.lifetime is None:
            return
        slot = self._slots.get(connection.due)
        if slot is not None:
            slot.pop(connection, None)
            if not slot:
                del self._slots[connection.due]
                self._tidy()
        connection.lifetime = None

    def take(self, now: float) -> list[Due]:
        """What is due at `now`. A stream is warned once, then ended; where it is too late to warn, ended at once."""
        found: list[Due] = []
        while self._seconds and self._seconds[0] <= now:
            for connection in self._slots.pop(heappop(self._seconds), {}):
                lifetime = connection.lifetime
                if lifetime is None:
                    continue
                if now >= lifetime.ends_at:
                    found.append(Due(connection, lifetime, last=True))
                else:
                    found.append(Due(connection, lifetime, last=False))
                    self._put(connection, math.ceil(lifetime.ends_at))
        return found

    def _put(self, connection: Connection, second: int) -> None:
        slot = self._slots.get(second)
        if slot is None:
            slot = self._slots[second] = {}
            heappush(self._seconds, second)
        slot[connection] = None
        connection.due = second

    def _tidy(self) -> None:
        """A token may be good for ten years, and the stream that came with it for a moment."""
        if len(self._seconds) > 2 * len(self._slots) + _SPARE:
            self._seconds = list(self._slots)
            heapify(self._seconds)
