"""The circuit breaker of a hook chain: closed, open after failures in a row, tried again after a pause. Pure."""

from __future__ import annotations


class Breaker:
    """Times are arguments (monotonic seconds).

    After `threshold` failures without a success in between it refuses for `base` seconds, then lets through again; each
    further failure doubles the pause, up to `cap`; a success closes it.
    """

    __slots__ = ("_until", "base", "cap", "failures", "threshold")

    def __init__(self, threshold: int, base: float, cap: float) -> None:
        self.threshold = threshold
        self.base = base
        self.cap = cap
        self.failures = 0
        self._until = 0.0

    def refuses(self, now: float) -> bool:
        """Whether it is open."""
        return self.failures >= self.threshold and now < self._until

    def succeeded(self) -> None:
        """It works: closed."""
        self.failures = 0

    def failed(self, now: float) -> None:
        """It failed once more."""
        self.failures += 1
        over = self.failures - self.threshold
        if over >= 0:
            self._until = now + min(self.cap, self.base * 2.0 ** min(over, 30))
