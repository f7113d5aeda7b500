"""From the text of a token to what it says, or a refusal. Each token is checked once, and remembered until it ends."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

import jwt
import orjson
from jwt.api_jws import PyJWS
from jwt.utils import base64url_decode

from slipstream.auth.claims import (
    Token,
    read_claims,
    refuse,
    refuse_expired,
    refuse_revoked,
    refuse_unsigned,
    tenant_of,
)
from slipstream.auth.decoy import decoy
from slipstream.auth.keyring import Keyring
from slipstream.auth.remembered import Remembered
from slipstream.tenants.issuer import Issuer

TOKEN_BYTES: Final = 8 * 1_024
"""Longest token. What is longer is not even parsed."""

_REMEMBERED: Final = 16_384
# Python's base64 overlooks what is not of its alphabet, line ends among it, so that one token would have many texts.
_COMPACT: Final = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*")  # RFC 7515 section 7.1
# It keeps nothing between calls.
_JWS: Final = PyJWS()


class Claimed(NamedTuple):
    """What a token says of itself, true or not: good for finding the key, and for nothing else."""

    algorithm: str
    kid: str | None
    issuer: str
    tenant: str
    claims: Mapping[str, Any]


class _Verified(NamedTuple):
    """A token whose signature was right by this key of its issuer."""

    token: Token
    issuer: Issuer
    kid: str | None
    algorithm: str
    key: Any


class Verifier:
    """`issuers(tenant)` are those whose tokens the tenant takes, by their `iss`.

    `revoked(token)` says whether a token is refused though it is good. checked: signatures so far, those of tokens
    that were refused included.
    """

    def __init__(
        self,
        keyring: Keyring,
        issuers: Callable[[str], Mapping[str, Issuer]],
        revoked: Callable[[Token], bool] = lambda _: False,
    ) -> None:
        self._keyring = keyring
        self._issuers = issuers
        self._revoked = revoked
        self._verified: Remembered[bytes, _Verified] = Remembered(_REMEMBERED)
        self.checked = 0

    async def verify(self, text: str, now: float) -> Token:
        """The token, at `now` (Unix seconds).

        A refusal costs one check of a signature, whatever its cause: without a key of the issuer's it is checked with
        one that nobody has, so that the time does not tell which tenants there are and whom they trust.

        Raises UNAUTHORIZED, TOKEN_EXPIRED, or UPSTREAM_UNAVAILABLE where the issuer's keys cannot be had.
        """
        token = await self._read(text, now)
        if self._revoked(token):
            refuse_revoked()
        return token

    async def _read(self, text: str, now: float) -> Token:
        if len(text) > TOKEN_BYTES:
            refuse(f"it has more than {TOKEN_BYTES} characters")
        digest = hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()
        known = await self._recall(digest, now)
        if known is not None:
            return known
        claimed = peek(text)
        issuer = self._issuers(claimed.tenant).get(claimed.issuer)
        key = None
        if issuer is not None and claimed.algorithm in issuer.allowed:
            key = await self._keyring.find(issuer, claimed.tenant, claimed.kid, claimed.algorithm)
            # Of all who waited for these keys with this token, the first has checked it.
            known = await self._recall(digest, now)
            if known is not None:
                return known
        if not self._check(text, claimed.algorithm, key) or issuer is None:
            refuse_unsigned()
        token = read_claims(claimed.claims, issuer, now)
        self._verified.keep(token.tenant, digest, _Verified(token, issuer, claimed.kid, claimed.algorithm, key))
        return token

    def _check(self, text: str, algorithm: str, key: Any | None) -> bool:
        """Whether `text`, to the letter, was signed by `key`; not so where there is none."""
        used = decoy(algorithm) if key is None else key
        if used is None:
            # No issuer of anybody can have this algorithm, so it tells nothing to answer at once.
            return False
        self.checked += 1
        try:
            # What was signed is the text, so `peek` read what was signed; a payload beside it (RFC 7797) is refused.
            _JWS.decode_complete(text, used, algorithms=[algorithm])
        except (jwt.PyJWTError, ValueError, TypeError):
            return False
        return key is not None

    async def _recall(self, digest: bytes, now: float) -> Token | None:
        """What was verified before, if the tenant still takes this issuer's tokens on the same terms and by this key.

        An issuer takes a key back by leaving it out, and a tenant by another secret: that counts for what was verified,
        too.
        """
        found = self._verified.find(digest)
        if found is None:
            return None
        token, issuer = found.token, found.issuer
        if self._issuers(token.tenant).get(token.issuer) != issuer:
            self._verified.drop(digest)
            return None
        if token.expires_at <= now:
            self._verified.drop(digest)
            refuse_expired()
        if await self._keyring.find(issuer, token.tenant, found.kid, found.algorithm) != found.key:
            self._verified.drop(digest)
            return None
        return token


def peek(text: str) -> Claimed:
    """What a token says, unchecked. `jku`, `x5u`, `jwk` and `x5c` of its header are not looked at.

    Raises UNAUTHORIZED where it is no signed JWT with an issuer and a tenant.
    """
    if len(text) > TOKEN_BYTES:
        refuse(f"it has more than {TOKEN_BYTES} characters")
    if not _COMPACT.fullmatch(text):
        refuse("it is no signed JWT")
    try:
        head, body, _ = text.split(".")
        header, claims = orjson.loads(base64url_decode(head)), orjson.loads(base64url_decode(body))
    except ValueError:
        refuse("it is no signed JWT")
    if not isinstance(header, dict) or not isinstance(claims, dict):
        refuse("it is no signed JWT")
    algorithm, kid, issuer = header.get("alg"), header.get("kid"), claims.get("iss")
    if not isinstance(algorithm, str) or not isinstance(issuer, str) or not isinstance(kid, str | None):
        refuse("it needs alg in its header, and the claims iss, sub, aud, exp and tenant")
    return Claimed(algorithm, kid, issuer, tenant_of(claims), claims)
