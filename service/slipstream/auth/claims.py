"""What a token says (RFC 7519 section 4, RFC 6749 section 3.3), once its signature was found to be right."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final, NamedTuple, NoReturn

from slipstream.protocol.errors import Code, SlipstreamError
from slipstream.protocol.topic import Filter, Filters, check_tenant
from slipstream.tenants.issuer import Issuer

LEEWAY: Final = 30
"""Seconds by which an issuer's clock may be ahead of ours (`nbf`, `iat`). `exp` has none: the stream ends by it."""

TEXT_MAX: Final = 256
"""Most characters of a subject, and of a token's id."""

_PATTERNS_MAX: Final = 256
_NOTICE: Final = 60.0

Patterns = tuple[Filter, ...]
EVERYTHING: Final[Patterns] = (Filter(">"),)


class Token(NamedTuple):
    """A verified token.

    subscribe, publish: the topics it is for, in canonical form; none at all allows no topic.
    expires_at: Unix time in seconds. renew_at: when to tell a stream of it that the end is near: 60 s before, or a
        tenth of the token's life.
    id: its `jti`, None where it has none.
    issued_at: its `iat` in whole Unix seconds; 0, so before everything, where it has none.
    """

    subject: str
    tenant: str
    scopes: frozenset[str]
    subscribe: Patterns
    publish: Patterns
    expires_at: int
    renew_at: float
    id: str | None
    issuer: str
    issued_at: int = 0


def read_claims(claims: Mapping[str, Any], issuer: Issuer, now: float) -> Token:
    """The token of these claims, at `now` (Unix seconds).

    Without a claim `topics` it is for all topics of its tenant; with one, for those alone that stand in it.

    Raises UNAUTHORIZED for what is missing, malformed, not for us or not from this issuer, and TOKEN_EXPIRED.
    """
    if claims.get("iss") != issuer.issuer:
        refuse("its iss is another issuer's")
    audience = claims.get("aud")
    audiences = audience if isinstance(audience, list) else [audience]
    if issuer.audience not in audiences:
        refuse(f"its aud has to be, or to contain, {issuer.audience}")
    expires_at, life = _times(claims, issuer, now)
    topics = claims.get("topics", _ABSENT)
    return Token(
        subject=_text(claims, "sub"),
        tenant=tenant_of(claims),
        scopes=_scopes(claims.get("scope", "")),
        subscribe=_patterns(topics, "subscribe"),
        publish=_patterns(topics, "publish"),
        expires_at=expires_at,
        renew_at=expires_at - min(_NOTICE, life / 10),
        id=None if claims.get("jti") is None else _text(claims, "jti"),
        issuer=issuer.issuer,
        issued_at=max(0, math.floor(_date(claims, "iat", 0))),
    )


def tenant_of(claims: Mapping[str, Any]) -> str:
    """The claim `tenant`. Raises UNAUTHORIZED where it is no tenant's name."""
    try:
        return check_tenant(_text(claims, "tenant"))
    except SlipstreamError:
        refuse("its tenant has to be a tenant's name")


def refuse(reason: str) -> NoReturn:
    """Raise UNAUTHORIZED. `reason` has nothing of the token in it."""
    raise SlipstreamError(Code.UNAUTHORIZED, f"the token is not valid here: {reason}")


def refuse_unsigned() -> NoReturn:
    """Raise UNAUTHORIZED for a token whose signature is not one that its tenant takes, whatever the reason.

    Nobody has proven anything by then, and the reason would tell strangers which tenants there are and whom they trust.
    """
    refuse("it is not signed by an issuer of its tenant")


def refuse_revoked() -> NoReturn:
    """Raise UNAUTHORIZED for a token that is good but for its revocation (see `revocations`)."""
    refuse("it was revoked; get a new one")


def refuse_expired() -> NoReturn:
    """Raise TOKEN_EXPIRED."""
    raise SlipstreamError(Code.TOKEN_EXPIRED, "the token has expired: get a new one")


_ABSENT: Final = object()


def _times(claims: Mapping[str, Any], issuer: Issuer, now: float) -> tuple[int, float]:
    """When it expires, and how long it lives in all."""
    expires_at = claims.get("exp")
    # PyJWT would take the string "4102444800", too (measured), and a bool is an int to Python.
    if type(expires_at) is not int:
        refuse("its exp has to be there, as an integer")
    issued_at = _date(claims, "iat", now)
    not_before = _date(claims, "nbf", now)
    if max(issued_at, not_before) > now + LEEWAY:
        refuse("its iat or nbf is in the future: compare the issuer's clock with ours")
    life = expires_at - issued_at
    if life > issuer.max_lifetime:
        refuse(f"it is good for longer than the {issuer.max_lifetime} s that its issuer may give")
    if expires_at <= now:
        refuse_expired()
    return expires_at, life


def _date(claims: Mapping[str, Any], name: str, default: float) -> float:
    """A NumericDate, which may have decimals (RFC 7519 section 2)."""
    value = claims.get(name, default)
    if type(value) not in (int, float):
        refuse(f"its {name} has to be a number")
    return float(value)


def _text(claims: Mapping[str, Any], name: str) -> str:
    value = claims.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= TEXT_MAX:
        refuse(f"its {name} has to be a string of 1 to {TEXT_MAX} characters")
    return value


def _scopes(value: object) -> frozenset[str]:
    if not isinstance(value, str):
        refuse("its scope has to be one string, with spaces between the scopes")
    return frozenset(value.split())


def _patterns(topics: object, name: str) -> Patterns:
    if topics is _ABSENT:
        return EVERYTHING
    texts = topics.get(name, []) if isinstance(topics, dict) else None
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        refuse('its topics has to be {"subscribe": [PATTERN, ...], "publish": [PATTERN, ...]}')
    if not texts:
        # `Filters.parse` reads nothing as everything, which is right for a request and would be wrong here.
        return ()
    try:
        return Filters.parse(texts, _PATTERNS_MAX).items
    except SlipstreamError as error:
        refuse(f"its topics: {error.message}")
