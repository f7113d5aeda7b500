"""The terms of coming back: what a client prefers, and what is agreed, as header fields.

`Retry-Preferences: max-jitter=50ms, backoff=exponential, idempotency-aware=true, max-attempts=3` is asked for,
`X-Retry-Policy` in the same syntax is the answer, with the statuses that a retry is for: `retryable=(408 429 5xx)`.
`X-Retry-Backoff-Base` has the base in ms. The syntax is that of a Dictionary (RFC 9651 section 3.2) but for values
that people write: `50ms`, `true`. As there, a member that is not known is passed over, and of two of the same name the
last counts.
"""

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Final, NamedTuple, Self

HEADER: Final = "Retry-Preferences"
PARAMETER: Final = "retry_preferences"
"""For an EventSource, which cannot set headers."""

POLICY_HEADER: Final = "X-Retry-Policy"
BASE_HEADER: Final = "X-Retry-Backoff-Base"

RETRYABLE: Final = ("408", "429", "5xx")
"""What passes: RFC 9110 sections 15.5.9 and 15.6, RFC 6585 section 4."""

ATTEMPTS: Final = 5
"""In a row, where nothing else was agreed."""

TEXT_MAX: Final = 1_024
"""Characters of preferences that are looked at; a longer text says nothing."""

_MEMBER: Final = re.compile(r"[ \t]*([a-z*][a-z0-9_.*-]{0,63})(?:=([^,\s\"]{1,64}|\([0-9x ]{0,64}\)))?[ \t]*", re.ASCII)
_MS: Final = re.compile(r"([0-9]{1,9})(ms|s)", re.ASCII)
_COUNT: Final = re.compile(r"[0-9]{1,9}", re.ASCII)
_STATUS: Final = re.compile(r"[1-5](?:[0-9]{2}|xx)", re.ASCII)
_TRUTH: Final[Mapping[str, bool]] = {"true": True, "?1": True, "": True, "false": False, "?0": False}


class Backoff(StrEnum):
    """How the wait grows with each failure in a row: doubled, by the base once more, or not at all."""

    exponential = "exponential"
    linear = "linear"
    constant = "constant"


class Preferences(NamedTuple):
    """What a client asks for; None where it says nothing, or nothing that can be read.

    base_ms, max_jitter_ms: ms. max_attempts: requests in a row, the first among them.
    idempotency_aware: every publish has an id, and a retry the same one.
    """

    base_ms: int | None = None
    max_jitter_ms: int | None = None
    backoff: Backoff | None = None
    idempotency_aware: bool | None = None
    max_attempts: int | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """The preferences of a header's text. Never raises: each member stands or falls alone."""
        found = _members(text)
        return cls(
            base_ms=_ms(found.get("base")),
            max_jitter_ms=_ms(found.get("max-jitter")),
            backoff=_backoff(found.get("backoff")),
            idempotency_aware=_TRUTH.get(found.get("idempotency-aware", "-")),
            max_attempts=_count(found.get("max-attempts")),
        )

    def __str__(self) -> str:
        """As a header's text; "" where nothing is asked for."""
        members = {
            "base": None if self.base_ms is None else f"{self.base_ms}ms",
            "max-jitter": None if self.max_jitter_ms is None else f"{self.max_jitter_ms}ms",
            "backoff": self.backoff,
            "idempotency-aware": None if self.idempotency_aware is None else _truth(self.idempotency_aware),
            "max-attempts": self.max_attempts,
        }
        return ", ".join(f"{name}={value}" for name, value in members.items() if value is not None)


class Terms(NamedTuple):
    """What is agreed.

    base_ms: what the backoff grows from. max_jitter_ms: most that is added by chance to any wait. max_attempts:
    requests in a row that failed, after which a client ends. retryable: statuses that a retry is for.
    """

    base_ms: int = 1_000
    max_jitter_ms: int = 1_000
    backoff: Backoff = Backoff.exponential
    idempotency_aware: bool = False
    max_attempts: int = ATTEMPTS
    retryable: tuple[str, ...] = RETRYABLE

    @classmethod
    def read(cls, policy: str, base: str, otherwise: "Terms") -> "Terms":
        """The terms that an answer's two headers tell; `otherwise` for each that they do not. Never raises."""
        found = _members(policy)
        told = Preferences.parse(policy)
        inner = found.get("retryable", "")
        statuses = tuple(inner[1:-1].split()) if inner.startswith("(") else None
        if statuses is None or not all(map(_STATUS.fullmatch, statuses)):
            statuses = otherwise.retryable
        base_ms = _count(base.strip())
        return cls(
            otherwise.base_ms if base_ms is None else base_ms,
            otherwise.max_jitter_ms if told.max_jitter_ms is None else told.max_jitter_ms,
            told.backoff or otherwise.backoff,
            otherwise.idempotency_aware if told.idempotency_aware is None else told.idempotency_aware,
            told.max_attempts or otherwise.max_attempts,
            statuses,
        )

    def covers(self, status: int) -> bool:
        """Whether the same request may succeed later, after an answer with this HTTP status."""
        return str(status) in self.retryable or f"{status // 100}xx" in self.retryable

    @property
    def policy(self) -> str:
        """The text of `X-Retry-Policy`."""
        return (
            f"max-jitter={self.max_jitter_ms}ms, backoff={self.backoff}, "
            f"idempotency-aware={_truth(self.idempotency_aware)}, max-attempts={self.max_attempts}, "
            f"retryable=({' '.join(self.retryable)})"
        )

    def backoff_ms(self, failures: int) -> int:
        """The wait after so many failures in a row (from 1), before jitter, in ms."""
        match self.backoff:
            case Backoff.exponential:
                return self.base_ms << min(failures - 1, 30)
            case Backoff.linear:
                return self.base_ms * failures
            case Backoff.constant:
                return self.base_ms


def parse_ms(text: str) -> int:
    """The ms of `50ms` or `2s`. Raises ValueError."""
    found = _ms(text)
    if found is None:
        raise ValueError("write a time in ms or s: 50ms, 2s")
    return found


def _members(text: str) -> dict[str, str]:
    """The members that can be read, by name; "" for a bare name, which RFC 9651 section 3.2 reads as true."""
    if len(text) > TEXT_MAX:
        return {}
    matches = map(_MEMBER.fullmatch, text.split(","))
    return {match[1]: match[2] or "" for match in matches if match is not None}


def _ms(text: str | None) -> int | None:
    match = _MS.fullmatch(text or "")
    return None if match is None else int(match[1]) * (1 if match[2] == "ms" else 1_000)


def _count(text: str | None) -> int | None:
    return int(text) if text and _COUNT.fullmatch(text) else None


def _backoff(text: str | None) -> Backoff | None:
    return Backoff(text) if text in set(Backoff) else None


def _truth(value: bool) -> str:  # noqa: FBT001 - the value itself
    return "true" if value else "false"
