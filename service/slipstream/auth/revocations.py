"""Tokens that are refused though they are good: revoked by their id, by their subject, or with their whole tenant.

Pure: time is an argument. A token's id is refused for good. A subject, or a tenant, refuses what was issued up to and
including the second of the revocation, so that whoever is to come again does so with a newer token.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from enum import StrEnum
from itertools import islice
from typing import Any, Final, NamedTuple, Protocol

import orjson

from slipstream.auth.claims import LEEWAY, Token
from slipstream.tenants.issuer import LIFETIME_MAX

REASON_MAX: Final = 256
"""Most characters of a reason."""

_LIFE: Final = LIFETIME_MAX + LEEWAY
_NEVER: Final = -1
"""Before every token: one without `iat` counts as issued at 0."""


class Kind(StrEnum):
    """What a revocation names."""

    SUBJECT = "subject"
    TOKEN = "token"
    TENANT = "tenant"


class Revocation(NamedTuple):
    """An entry.

    name: the subject, the token's id (`jti`), or the tenant. at, until: Unix seconds; at `until` no token that it
    concerns can be good any more, whatever its issuer's `max_lifetime`. reason: said by whoever revoked, for people.
    """

    tenant: str
    kind: Kind
    name: str
    at: int
    until: int
    reason: str = ""

    @classmethod
    def of(cls, tenant: str, kind: Kind, name: str, now: float, reason: str = "") -> Revocation:
        """A revocation at `now` (Unix seconds)."""
        at = math.floor(now)
        return cls(tenant, kind, name, at, at + _LIFE, reason)

    @property
    def key(self) -> str:
        """Where it stands."""
        return key_of(self.tenant, self.kind, hash_of(self.name))

    def document(self) -> dict[str, Any]:
        """For people: all of it, and the hash that names it in paths and logs."""
        return {**self._asdict(), "hash": hash_of(self.name)}

    def to_json(self) -> bytes:
        """As it is stored."""
        return orjson.dumps(self._asdict())


def read_revocation(key: str, data: bytes) -> Revocation:
    """What `to_json` wrote under this key. Raises ValueError for anything else."""
    found = orjson.loads(data)
    if not isinstance(found, dict) or found.keys() != set(Revocation._fields):
        raise ValueError(f"it has to be an object of {', '.join(Revocation._fields)}")
    if type(found["at"]) is not int or type(found["until"]) is not int:
        raise ValueError("at and until are whole seconds")
    if not all(isinstance(found[name], str) for name in ("tenant", "kind", "name", "reason")):
        raise ValueError("tenant, kind, name and reason are strings")
    revocation = Revocation(**{**found, "kind": Kind(found["kind"])})
    if revocation.kind is Kind.TENANT and revocation.name != revocation.tenant:
        raise ValueError("a tenant's own revocation has the tenant's name")
    if revocation.key != key:
        raise ValueError(f"it belongs under {revocation.key}")
    return revocation


def hash_of(name: str) -> str:
    """32 hex digits for any name: a subject is any text, and nobody else's business."""
    return hashlib.sha256(name.encode()).hexdigest()[:32]


def key_of(tenant: str, kind: Kind, hashed: str) -> str:
    """Where the revocation of a name with this hash stands."""
    return f"{tenant}.{kind.value}.{hashed}"


class Ledger(Protocol):
    """Where revocations are written, for all processes. Raises UPSTREAM_UNAVAILABLE when that cannot be done now."""

    async def put(self, revocation: Revocation) -> Revocation:
        """Write; what stands there then: never an earlier `at` than before."""
        ...

    async def remove(self, tenant: str, kind: Kind, name: str) -> Revocation | None:
        """Take back the one of this name, or of the name with this hash; None where there is none."""
        ...


class _Revoked:
    """What is revoked of one tenant: the entries by their keys, and what a token is compared with."""

    __slots__ = ("entries", "since", "subjects", "tokens")

    def __init__(self) -> None:
        self.entries: dict[str, Revocation] = {}
        self.subjects: dict[str, int] = {}
        self.tokens: set[str] = set()
        self.since = _NEVER


class Revocations:
    """All that are known now. Empty at first, and `loaded` from the first `replace` on."""

    def __init__(self) -> None:
        self._tenants: dict[str, _Revoked] = {}
        self._next = math.inf
        self.loaded = False

    def __len__(self) -> int:
        return sum(len(found.entries) for found in self._tenants.values())

    def revoked(self, token: Token) -> bool:
        """Whether the token is refused. Asked for every request: three look-ups at most."""
        found = self._tenants.get(token.tenant)
        if found is None:
            return False
        return (
            token.issued_at <= found.since
            or token.id in found.tokens
            or token.issued_at <= found.subjects.get(token.subject, _NEVER)
        )

    def get(self, key: str) -> Revocation | None:
        """What stands under this key."""
        found = self._tenants.get(_tenant(key))
        return None if found is None else found.entries.get(key)

    def count(self, tenant: str) -> int:
        """How many a tenant has."""
        found = self._tenants.get(tenant)
        return 0 if found is None else len(found.entries)

    def newest(self, tenant: str, most: int) -> list[Revocation]:
        """At most so many of a tenant, those that were put last before the others."""
        found = self._tenants.get(tenant)
        return [] if found is None else list(islice(reversed(found.entries.values()), most))

    def replace(self, entries: Mapping[str, Revocation]) -> None:
        """These are all now, by their keys."""
        self.loaded = True
        self._tenants = {}
        self._next = math.inf
        for revocation in entries.values():
            self.put(revocation)

    def put(self, revocation: Revocation) -> None:
        """It is new or different."""
        found = self._tenants.get(revocation.tenant)
        if found is None:
            found = self._tenants[revocation.tenant] = _Revoked()
        key = revocation.key
        found.entries.pop(key, None)
        found.entries[key] = revocation
        self._next = min(self._next, revocation.until)
        match revocation.kind:
            case Kind.SUBJECT:
                found.subjects[revocation.name] = revocation.at
            case Kind.TOKEN:
                found.tokens.add(revocation.name)
            case Kind.TENANT:
                found.since = revocation.at

    def remove(self, key: str) -> None:
        """It was taken back; one that is not there may be removed."""
        tenant = _tenant(key)
        found = self._tenants.get(tenant)
        revocation = None if found is None else found.entries.pop(key, None)
        if found is None or revocation is None:
            return
        match revocation.kind:
            case Kind.SUBJECT:
                del found.subjects[revocation.name]
            case Kind.TOKEN:
                found.tokens.discard(revocation.name)
            case Kind.TENANT:
                found.since = _NEVER
        if not found.entries:
            del self._tenants[tenant]

    def expire(self, now: float) -> None:
        """Forget those whose time (Unix seconds) is over: no token is let in by that."""
        if now < self._next:
            return
        entries = [(key, one) for found in self._tenants.values() for key, one in found.entries.items()]
        for key, revocation in entries:
            if revocation.until <= now:
                self.remove(key)
        self._next = min((one.until for _, one in entries if one.until > now), default=math.inf)


def _tenant(key: str) -> str:
    return key.partition(".")[0]
