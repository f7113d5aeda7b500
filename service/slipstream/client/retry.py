"""When to try again: what was agreed with the server, and how often it has failed so far. Pure.

The server's word is a floor: `Retry-After`, `retry:`, or the `retry` of an `error` event, which it has spread out
already (WHATWG HTML section 9.2.3 allows to wait longer). The agreed backoff and jitter come on top of repeated
failures. Times are Unix seconds and the random roll (0 <= roll < 1) is an argument, so a state that was kept means the
same in the next process.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

from pydantic import ConfigDict, TypeAdapter

from slipstream.protocol.retry import Preferences, Terms

DEFAULT_RETRY_MS: Final = 1_000
"""Until the server says one, in ms."""

MAX_BACKOFF_SECONDS: Final = 30.0
"""The backoff grows no longer than this: a client notices within it that the server is back."""

MIN_FLOOR_SECONDS: Final = 0.1
"""The shortest wait after a stream that had opened: `retry: 0`, and a server that ends each stream at once, must not
become a loop (measured: 400 connections a second)."""

MAX_FLOOR_SECONDS: Final = 3600.0
"""The longest wait that a server's word is obeyed for: a slip of units must not end a client for a year."""


@dataclass(slots=True)
class RetryState:
    """Where one stream, or one publish, stands with its server. `to_dict` and `from_dict` carry it over a restart.

    terms: what the server agreed to, or until it said so what the client goes by. retry_ms: the stream's `retry:`.
    attempt: failures in a row. began_at: when the first request of them was made. last_at: when the last failure was
    noticed. due_at: before which no request may be made. None: not yet. key: the idempotency key of a publish. code: of
    the last error, "" where it had none.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", allow_inf_nan=False)

    terms: Terms = field(default_factory=Terms)
    retry_ms: int = DEFAULT_RETRY_MS
    attempt: int = 0
    began_at: float | None = None
    last_at: float | None = None
    due_at: float | None = None
    key: str | None = None
    code: str = ""

    @property
    def exhausted(self) -> bool:
        """Whether so many requests in a row have failed as were agreed."""
        return self.attempt >= self.terms.max_attempts

    def began(self, now: float) -> None:
        """A request is made."""
        if self.began_at is None:
            self.began_at = now

    def failed(self, now: float, roll: float, floor: float, code: str = "") -> float:
        """A request failed; the seconds until the next may be made.

        floor: what the server asked for, in seconds: a wait is never shorter. The backoff of the agreed kind, at most
        30 s, may make it longer; then comes a full jitter of up to the agreed one.
        """
        self.attempt += 1
        backoff = min(MAX_BACKOFF_SECONDS, self.terms.backoff_ms(self.attempt) / 1000)
        delay = min(MAX_FLOOR_SECONDS, max(floor, backoff) + roll * self.terms.max_jitter_ms / 1000)
        return self._wait(now, delay, code)

    def ended(self, now: float, floor: float | None = None, code: str = "") -> float:
        """An open stream ended; the seconds until the next request: the server's time alone, which it has spread.

        floor: what it asked for at the end, in seconds; its `retry:` where None.
        """
        asked = self.retry_ms / 1000 if floor is None else floor
        return self._wait(now, min(MAX_FLOOR_SECONDS, max(MIN_FLOOR_SECONDS, asked)), code)

    def succeeded(self) -> None:
        """The stream is open, or the event stored: the next failure is a first one again."""
        self.attempt = 0
        self.began_at = self.due_at = None
        self.code = ""

    def wait(self, now: float) -> float:
        """The seconds for which no request may be made: after a clock that was set back, no more than at first."""
        if self.due_at is None:
            return 0.0
        longest = MAX_FLOOR_SECONDS if self.last_at is None else min(MAX_FLOOR_SECONDS, self.due_at - self.last_at)
        return max(0.0, min(longest, self.due_at - now))

    def to_dict(self) -> dict[str, Any]:
        """The state in what JSON has."""
        return {**_ADAPTER.dump_python(self, mode="json"), "terms": self.terms._asdict()}

    @staticmethod
    def from_dict(kept: Mapping[str, Any]) -> "RetryState":
        """The state of a `to_dict`, read back from JSON too. Raises ValueError when it is none."""
        return _ADAPTER.validate_python(kept)

    def _wait(self, now: float, delay: float, code: str) -> float:
        self.last_at = now
        self.due_at = now + delay
        self.code = code
        return delay


def asked_for(preferences: Preferences) -> Terms:
    """What a client goes by until the server has answered: what it asks for itself."""
    base = "" if preferences.base_ms is None else str(preferences.base_ms)
    return Terms.read(str(preferences), base, Terms())


_ADAPTER: Final = TypeAdapter(RetryState)
