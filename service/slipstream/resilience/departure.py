"""Who leaves when, of many that must all be gone after a while: evenly, and no longer than it takes few.

Pure: the time is an argument.
"""

from __future__ import annotations

from typing import Final

SLOWEST: Final = 20.0
"""Streams a second that leave at the least: a window of a minute is for thousands, and nobody waits for ten."""


class Departures:
    """`count` leave within `window` seconds.

    seconds: how long it takes: the window, or less where they are few.
    """

    __slots__ = ("count", "seconds")

    def __init__(self, count: int, window: float) -> None:
        self.count = count
        self.seconds = min(window, count / SLOWEST)

    def due(self, elapsed: float) -> int:
        """How many must have left `elapsed` seconds after the beginning: one at once, all at the end."""
        if elapsed >= self.seconds:
            return self.count
        return min(self.count, int(self.count * elapsed / self.seconds) + 1)
