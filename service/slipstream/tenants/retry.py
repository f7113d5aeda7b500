"""When a tenant's clients may come back, as its document says (`spec.retry`), and what is agreed with one of them."""

from typing import Annotated, Final, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from slipstream.protocol.retry import ATTEMPTS, Backoff, Preferences, Terms, parse_ms
from slipstream.resilience.pacing import spread
from slipstream.tenants.part import Part

_HOUR_MS: Final = 3_600_000
_ATTEMPTS_MOST: Final = 1_000

_Milliseconds = Annotated[
    int,
    Field(strict=True, ge=0, le=_HOUR_MS),
    BeforeValidator(lambda value: parse_ms(value) if isinstance(value, str) else value),
]
_Attempts = Annotated[int, Field(strict=True, ge=1, le=_ATTEMPTS_MOST)]
# In YAML what has nothing behind its colon is null.
_NullIsEmpty = BeforeValidator(lambda value: {} if value is None else value)


def _some(kinds: tuple[Backoff, ...]) -> tuple[Backoff, ...]:
    # pydantic's own bound would count what is left of a list with a wrong item, and tell a second fault.
    if not kinds:
        raise ValueError(f"name one at least of {', '.join(Backoff)}, or leave it out")
    return kinds


class _Bounds(Part):
    """Both ends are allowed."""

    min: int
    max: int

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        if self.min > self.max:
            raise ValueError(f"min ({self.min}) is above max ({self.max}): nothing would be allowed")
        return self

    def nearest(self, value: int) -> int:
        """The allowed value that is nearest to this one."""
        return max(self.min, min(self.max, value))

    def pick(self, wanted: int | None, otherwise: int) -> int:
        """What is wanted if it is allowed, else what is nearest to `otherwise`."""
        return wanted if wanted is not None and self.min <= wanted <= self.max else self.nearest(otherwise)


class Base(_Bounds):
    """Bounds of the first wait."""

    min: _Milliseconds = 100
    max: _Milliseconds = 60_000


class MaxJitter(_Bounds):
    """Bounds of what chance adds to a wait."""

    min: _Milliseconds = 0
    max: _Milliseconds = 60_000


class MaxAttempts(_Bounds):
    """Bounds of the requests in a row that may fail before a client ends."""

    min: _Attempts = 1
    max: _Attempts = 100


class Retry(Part):
    """What clients may choose. What they ask for besides falls back, each preference for itself, and is never refused.

    backoff: the kinds that they may have; where `exponential` is not among them, the first is what the others fall
    back to. base, max_jitter: bounds in ms. max_attempts: bounds.
    """

    backoff: Annotated[tuple[Backoff, ...], AfterValidator(_some)] = tuple(Backoff)
    base: Annotated[Base, _NullIsEmpty] = Base()
    max_jitter: Annotated[MaxJitter, _NullIsEmpty] = MaxJitter()
    max_attempts: Annotated[MaxAttempts, _NullIsEmpty] = MaxAttempts()


def negotiate(policy: Retry, wanted: Preferences, base_ms: int, live: int) -> Terms:
    """The terms for one client: what it wants where the policy allows it, else what the server gives.

    base_ms: the server's. live: connections that the process has, which its jitter is sized to.
    """
    base = policy.base.pick(wanted.base_ms, base_ms)
    width = spread(base, live)
    kinds = policy.backoff
    fallback = Backoff.exponential if Backoff.exponential in kinds else kinds[0]
    return Terms(
        base_ms=base,
        max_jitter_ms=policy.max_jitter.pick(wanted.max_jitter_ms, width.high - width.low),
        backoff=wanted.backoff if wanted.backoff in kinds else fallback,
        idempotency_aware=bool(wanted.idempotency_aware),
        max_attempts=policy.max_attempts.pick(wanted.max_attempts, ATTEMPTS),
    )
