"""Whether the service that all here depends on can do its work. Failures of others accuse; only a probe convicts. Pure.

One tenant's stream may be gone, or electing, while all others are served: were the breaker opened by the failures of
requests, one tenant would take the service from all. So they only make the next probe that meets silence count twice.
"""

from __future__ import annotations

from typing import Final

from slipstream.resilience.breaker import Breaker

MISSES: Final = 2
"""Probes in a row without an answer that open the breaker."""

ACCUSERS: Final = 3
"""Different things that failed since the last answer, which weigh as much as a missed probe."""

_PAUSE: Final = 0.5
_LONGEST_PAUSE: Final = 2.0


class Upstream:
    """A breaker that is opened by missed probes and closed by an answered one. Times are monotonic seconds.

    While it is open whoever asks is refused, also when the next probe is due: requests are never the trial.
    """

    __slots__ = ("_accusers", "_breaker", "_changed_at", "_reason", "openings")

    def __init__(self, now: float) -> None:
        self._breaker = Breaker(MISSES, _PAUSE, _LONGEST_PAUSE)
        self._accusers: set[str] = set()
        self._changed_at = now
        self._reason = ""
        self.openings = 0

    @property
    def open(self) -> bool:
        """Whether to refuse what needs it."""
        return self._breaker.failures >= MISSES

    @property
    def accused(self) -> bool:
        """Whether so much failed that the next probe should not wait for its time."""
        return len(self._accusers) >= ACCUSERS

    @property
    def changed_at(self) -> float:
        """When it was opened or closed."""
        return self._changed_at

    def state(self, now: float) -> str:
        """`closed`, `open`, or `half-open`: the answer to the next probe decides."""
        if not self.open:
            return "closed"
        return "half-open" if self.pause(now) <= 0 else "open"

    @property
    def reason(self) -> str:
        """What the last missed probe ended with; empty while all is well."""
        return self._reason

    def pause(self, now: float) -> float:
        """Seconds until the next probe makes sense; 0 while it is closed."""
        return self._breaker.pause(now)

    def suspect(self, what: str) -> None:
        """`what` failed in a way that may be the upstream's fault: a request without an answer, a silent feed."""
        if not self.accused:
            self._accusers.add(what)

    def missed(self, reason: str, now: float, roll: float, *, silent: bool) -> bool:
        """A probe failed; whether this opens the breaker.

        silent: it had no answer; not so where it was told at once that nobody takes it, as all who ask then are.
        roll: 0 <= roll < 1.
        """
        was_open = self.open
        self._reason = reason
        self._breaker.failed(now, roll)
        if silent and self.accused and not self.open:
            self._breaker.failed(now, roll)
        if was_open or not self.open:
            return False
        self._changed_at = now
        self.openings += 1
        return True

    def answered(self, now: float) -> bool:
        """A probe was answered; whether this closes the breaker."""
        was_open = self.open
        self._breaker.succeeded()
        self._accusers.clear()
        self._reason = ""
        if was_open:
            self._changed_at = now
        return was_open
