"""Streams that end at a time known from the beginning: one table of seconds for all of them, no timer for each."""

from __future__ import annotations

import math
from heapq import heappop, heappush
from typing import NamedTuple

from slipstream.fanout.connection import Connection, Lifetime


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
        # Every second that a slot was made for, once; some of those slots are gone when their time comes.
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
        connection.lifetime = None

    def take(self, now: float) -> list[Due]:
        """What is due at `now`. A stream is warned once, then ended; where it is too late to warn, ended at once."""
        found: list[Due] = []
        while self._seconds and self._seconds[0] <= now:
            for connection in self._slots.pop(heappop(self._seconds)):
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
