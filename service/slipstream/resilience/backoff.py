"""How long to wait before trying again: exponential growth under a cap, with equal jitter.

Pure: the random roll is an argument (0 <= roll < 1), so that a test can walk every path.
"""

from __future__ import annotations


class Backoff:
    """Delays in seconds for successive failures of one thing; `reset()` after a success."""

    __slots__ = ("attempt", "base", "cap")

    def __init__(self, base: float, cap: float) -> None:
        self.base = base
        self.cap = cap
        self.attempt = 0

    def next(self, roll: float) -> float:
        """The next delay: between half and the whole of `base * 2**attempt`, at most `cap`."""
        ceiling = min(self.cap, self.base * (1 << min(self.attempt, 30)))
        self.attempt += 1
        return ceiling * (0.5 + 0.5 * roll)

    def reset(self) -> None:
        """The thing works again: start over at `base`."""
        self.attempt = 0
