"""A token bucket (RFC 2697's idea with one rate): so many a second, a second's worth at once. Pure."""

from __future__ import annotations


class Rate:
    """One tenant's bucket in this process; full at first.

    An amount larger than the bucket passes when the bucket is full, and the debt is waited off by the next.
    """

    __slots__ = ("_at", "_tokens")

    def __init__(self) -> None:
        self._tokens = float("inf")
        self._at = 0.0

    def take(self, now: float, amount: int, per_second: float) -> float:
        """Take `amount`: 0 when it may pass, else after how many seconds it could; then nothing was taken.

        per_second: this process's part of the limit now, which changes with the number of processes.
        """
        most = self._fill(now, per_second)
        missing = min(float(amount), most) - self._tokens
        if missing > 0:
            return missing / per_second
        self._tokens -= amount
        return 0.0

    def owe(self, now: float, amount: int, per_second: float) -> bool:
        """Take `amount`, whether it is there or not: what is missing is waited off by the next.

        False, with nothing taken, where a second's worth would be missing.
        """
        most = self._fill(now, per_second)
        if self._tokens - amount < -most:
            return False
        self._tokens -= amount
        return True

    def _fill(self, now: float, per_second: float) -> float:
        """The most that the bucket holds."""
        most = max(1.0, per_second)
        self._tokens = min(most, self._tokens + (now - self._at) * per_second)
        self._at = now
        return most
