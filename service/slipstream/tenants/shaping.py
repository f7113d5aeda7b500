"""How a tenant's events look to readers, as its document says: event keys, masking rules, hooks."""

import re
from typing import Annotated, Any, Final, Literal, Self

import orjson
from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from slipstream.protocol.errors import quoted
from slipstream.tenants.fold import fold, plain
from slipstream.tenants.part import Part

RULES_MAX: Final = 64
"""Most masking rules of a tenant."""

HOOKS_MAX: Final = 16
"""Most hooks of a tenant."""

SCOPES_MAX: Final = 3
"""Most different scopes among a tenant's rules: readers are told apart by each set of them, so there are 2^n views."""

_CONFIG_MAX: Final = 16 * 1_024

_PATH: Final = frozenset("./$[]*")


def _field(text: str) -> str:
    wrong = sorted(_PATH.intersection(plain(text)))
    if wrong:
        raise ValueError(f"a rule names one key, found at any depth, not a path: leave out {' '.join(wrong)}")
    if not fold(text):
        raise ValueError("a key needs a letter or a digit: case, spaces, dashes and underscores do not count")
    return text


def _json(value: dict[str, Any]) -> dict[str, Any]:
    try:
        text = orjson.dumps(value)
    except TypeError as error:
        raise ValueError(f"use what JSON has, with strings as keys: {error}") from error
    if len(text) > _CONFIG_MAX:
        raise ValueError(f"it has {len(text)} bytes as JSON, at most {_CONFIG_MAX} are allowed")
    if orjson.loads(text) != value:  # a date, a NaN, a tuple
        raise ValueError("use what JSON has: strings, finite numbers, true, false, null, lists and mappings")
    return value


def _matching(pattern: str, what: str) -> AfterValidator:
    compiled = re.compile(pattern)

    def check(text: str) -> str:
        if compiled.fullmatch(text) is None:
            raise ValueError(f"{quoted(text)} does not fit: use {what}")
        return text

    return AfterValidator(check)


Name = Annotated[
    str, _matching("[A-Za-z0-9]([A-Za-z0-9._-]{0,62}[A-Za-z0-9])?", "1 to 64 characters of A-Z a-z 0-9 . _ -")
]
_Prefix = Annotated[str, _matching("[A-Za-z0-9_-]{1,32}", "1 to 32 characters of A-Z a-z 0-9 _ -")]
_Scope = Annotated[str, _matching(r"[\x21\x23-\x5b\x5d-\x7e]{1,64}", "one scope of 1 to 64 characters (RFC 6749 3.3)")]
# In YAML what has nothing behind its colon is null.
_NullIsEmpty = BeforeValidator(lambda value: {} if value is None else value)
_NullIsNone = BeforeValidator(lambda value: () if value is None else value)
_Config = Annotated[dict[str, Any], _NullIsEmpty, AfterValidator(_json)]


class EventKey(Part):
    """What follows the position in an event's id, for the reader's eyes.

    strategy: `sequence` (nothing: the position is the id), `uuid`, `timestamp`, `key` (the producer's `Sse-Key`),
        `auto` (the key where there is one, else `timestamp` in an ordered tenant, else `uuid`), or the name of one
        that a package adds by an entry point of the group `slipstream.event_keys`.
    prefix: stands before the time of `timestamp` and `auto`.
    config: for the strategy of a package.
    """

    strategy: Name = "sequence"
    prefix: _Prefix | None = None
    config: _Config = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _name_alone(cls, value: Any) -> Any:
        return {"strategy": value} if isinstance(value, str) else value


class MaskingRule(Part):
    """One field that most readers get masked, wherever in the data it is.

    field: the key in a JSON object, without regard to case, width, accents, spaces, dashes and underscores.
    method: `phone` keeps the first 3 and the last 4 digits, `id_card` 6 and 4 characters, `email` a letter and the
        domain; `redact` keeps nothing; `hash` is HMAC-SHA256 with the tenant's secret of that name, so that equal
        values stay equal.
    scope: a token with this scope gets the field as it is.
    """

    field: Annotated[str, Field(min_length=1, max_length=128), AfterValidator(_field)]
    method: Literal["phone", "id_card", "email", "redact", "hash"]
    scope: _Scope = "pii:read"
    secret: Name | None = None

    @model_validator(mode="after")
    def _hash_has_a_secret(self) -> Self:
        if (self.method == "hash") != (self.secret is not None):
            raise ValueError("the method hash, and no other, needs the name of a secret: secret")
        return self


class HookSpec(Part):
    """One hook of the chain: the name of an entry point of the group `slipstream.hooks`, and what it is told."""

    name: Name
    config: _Config = Field(default_factory=dict)


def _apart(rules: tuple[MaskingRule, ...]) -> tuple[MaskingRule, ...]:
    seen: dict[str, str] = {}
    for rule in rules:
        name = fold(rule.field)
        if name in seen:
            raise ValueError(f"{quoted(rule.field)} is the same key as {quoted(seen[name])}: leave one rule")
        seen[name] = rule.field
    scopes = sorted({rule.scope for rule in rules})
    if len(scopes) > SCOPES_MAX:
        raise ValueError(
            f"it has {len(scopes)} different scopes, at most {SCOPES_MAX} are allowed: {', '.join(scopes)}"
        )
    return rules


Masking = Annotated[tuple[MaskingRule, ...], Field(max_length=RULES_MAX), _NullIsNone, AfterValidator(_apart)]
Hooks = Annotated[tuple[HookSpec, ...], Field(max_length=HOOKS_MAX), _NullIsNone]
EventKeys = Annotated[EventKey, _NullIsEmpty]
