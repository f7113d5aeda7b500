"""How late the event loop is: what a stall costs everybody, measured where it happens."""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from typing import Final

TICK: Final = 0.01
"""Seconds between two looks. A look costs some 20 us (measured), so that a process at rest spends 0.2 % on it."""

_SAMPLES: Final = 1_000


class LoopLag:
    """The lateness of the ticks of the last ten seconds; `run` makes them, everything else is pure.

    A tick that comes late hides those that were due meanwhile: they are counted, each a tick less late, or one stall
    of a second would be one number among a thousand (coordinated omission). The loop's own timers are up to a
    millisecond late when nothing else is.
    """

    __slots__ = ("_lates",)

    def __init__(self) -> None:
        self._lates: deque[float] = deque(maxlen=_SAMPLES)

    def record(self, late: float) -> None:
        """A tick was `late` seconds late; a timer may also be early by the clock's resolution, which is not late."""
        late = max(late, 0.0)
        hidden = min(int(late / TICK), _SAMPLES - 1)
        self._lates.extend(late - TICK * number for number in range(hidden, -1, -1))

    def percentile_ms(self, percent: float) -> float | None:
        """The nearest-rank percentile (0 < percent <= 100) in milliseconds; None before the first tick."""
        if not self._lates:
            return None
        rank = math.ceil(len(self._lates) * percent / 100)
        return 1e3 * sorted(self._lates)[rank - 1]

    def document(self) -> dict[str, float | None]:
        """Median, 99th percentile and maximum of the window, in milliseconds."""
        return {name: self.percentile_ms(percent) for name, percent in (("p50", 50), ("p99", 99), ("max", 100))}

    async def run(self) -> None:
        """Look every ten milliseconds, for ever."""
        while True:
            due = time.monotonic() + TICK
            await asyncio.sleep(TICK)
            self.record(time.monotonic() - due)
