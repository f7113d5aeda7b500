"""The circuit breaker: something that fails again and again is left alone for a while, then tried by one. Pure."""

from __future__ import annotations

from slipstream.resilience.backoff import Backoff


class Breaker:
    """Closed, open, half-open. Times are arguments (monotonic seconds), and so are the rolls of the dice.

    After `threshold` failures without a success in between it is open for a pause: at most `base` seconds, twice that
    after each failed trial, up to `cap`. After the pause it is half-open: what fails then opens it again. A success
    closes it, whenever it comes.

    Callers ask `refuses`, where what they do goes through one door anyway; or `admits`, where many would try at once:
    of these it lets one through, who has to report by `succeeded`, `failed` or `abandoned`.
    """

    __slots__ = ("_pause", "_probing", "_until", "failures", "threshold")

    def __init__(self, threshold: int, base: float, cap: float) -> None:
        self.threshold = threshold
        self.failures = 0
        self._pause = Backoff(base, cap)
        self._until = 0.0
        self._probing = False

    def refuses(self, now: float) -> bool:
        """Whether it is open."""
        return self.failures >= self.threshold and now < self._until

    def admits(self, now: float) -> bool:
        """Whether to try: everybody while it is closed, nobody while it is open, one at a time in between."""
        if self.failures < self.threshold:
            return True
        if self._probing or now < self._until:
            return False
        self._probing = True
        return True

    def pause(self, now: float) -> float:
        """Seconds after which it makes sense to ask again; 0 when it is not open."""
        return max(0.0, self._until - now) if self.failures >= self.threshold else 0.0

    def succeeded(self) -> None:
        """It works: closed."""
        self.failures = 0
        self._probing = False
        self._pause.reset()

    def failed(self, now: float, roll: float) -> None:
        """It failed once more. roll: 0 <= roll < 1, so that many breakers do not try at the same moment."""
        if self.refuses(now):
            # Begun before it opened: those who failed together are one reason to wait, not many.
            return
        self.failures += 1
        self._probing = False
        if self.failures >= self.threshold:
            self._until = now + self._pause.next(roll)

    def abandoned(self) -> None:
        """Whoever was let through left without knowing: another one may try."""
        self._probing = False
