"""How far apart clients come back that all lost the same process.

A browser waits exactly the `retry:` that it was given and adds nothing by chance (measured in both), so the server has
to spread its clients. Pure: the random roll (0 <= roll < 1) is an argument.
"""

from __future__ import annotations

from typing import Final, NamedTuple

RETRY_MIN_MS: Final = 1_000
"""No client is asked to come back sooner."""

TOLERATED_RATE: Final = 2_000
"""Streams a second that a process opens beside its work: two thirds of the 3,100 that a core opens (docs/cost.md)."""


class Spread(NamedTuple):
    """The range that a `retry:` is drawn from, in ms. low: at least RETRY_MIN_MS. high: not below low."""

    low: int
    high: int

    def draw(self, roll: float) -> int:
        """A time of the range, all alike."""
        return self.low + int(roll * (self.high - self.low))


def spread(base_ms: int, live: int, rate: float = TOLERATED_RATE) -> Spread:
    """The range for a process with so many live connections: from the base on, full jitter over its width.

    Wide enough that, when the process is lost and one other takes all its clients, that one sees at most `rate` of them
    a second; never narrower than half the base, which is what a small process uses.

    Raises ValueError for a rate that is not above 0.
    """
    if rate <= 0:
        raise ValueError(f"a tolerated rate is above 0 a second, not {rate:g}")
    low = max(RETRY_MIN_MS, base_ms)
    return Spread(low, low + max(low // 2, round(live / rate * 1_000)))


def within(base_ms: int, jitter_ms: int) -> Spread:
    """The range where the jitter is agreed: a client, or a tenant's policy, may want less than `spread`, or more."""
    low = max(RETRY_MIN_MS, base_ms)
    return Spread(low, low + jitter_ms)
