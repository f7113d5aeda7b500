"""From the text of a token to what it says, or a refusal. Each token is checked once, and remembered until it ends."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

import jwt
import orjson
from jwt.api_jws import PyJWS
from jwt.utils import base64url_decode

from slipstream.auth.claims import Token, read_claims, refuse, refuse_unsigned, tenant_of
from slipstream.auth.keyring import Keyring
from slipstream.protocol.errors import Code, SlipstreamError
from slipstream.tenants.issuer import Issuer

TOKEN_BYTES: Final = 8 * 1_024
"""Longest token. What is longer is not even parsed."""

_REMEMBERED: Final = 16_384
# It keeps nothing between calls.
_JWS: Final = PyJWS()


class Claimed(NamedTuple):
    """What a token says of itself, true or not: good for finding the key, and for nothing else."""

    algorithm: str
    kid: str | None
    issuer: str
    tenant: str
    claims: Mapping[str, Any]
    payload: bytes


class Verifier:
    """`issuers(tenant)` are those whose tokens the tenant takes, by their `iss`."""

    def __init__(self, keyring: Keyring, issuers: Callable[[str], Mapping[str, Issuer]]) -> None:
        self._keyring = keyring
        self._issuers = issuers
        self._verified: OrderedDict[bytes, tuple[Token, Issuer]] = OrderedDict()
        self.checked = 0

    async def verify(self, text: str, now: float) -> Token:
        """The token, at `now` (Unix seconds).

        Raises UNAUTHORIZED, TOKEN_EXPIRED, or UPSTREAM_UNAVAILABLE where the issuer's keys cannot be had.
        """
        if len(text) > TOKEN_BYTES:
            refuse(f"it has more than {TOKEN_BYTES} characters")
        digest = hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()
        known = self._recall(digest, now)
        if known is not None:
            return known
        claimed = peek(text)
        issuer = self._issuers(claimed.tenant).get(claimed.issuer)
        if issuer is None or claimed.algorithm not in issuer.allowed:
            refuse_unsigned()
        key = await self._keyring.find(issuer, claimed.tenant, claimed.kid, claimed.algorithm)
        self.checked += 1
        try:
            signed = _JWS.decode_complete(text, key, algorithms=[claimed.algorithm])
        except (jwt.PyJWTError, ValueError, TypeError):
            refuse_unsigned()
        if signed["payload"] != claimed.payload:
            # PyJWT reads base64 more strictly than `peek`: what was looked at must be what was signed.
            refuse("it is no signed JWT")
        token = read_claims(claimed.claims, issuer, now)
        self._verified[digest] = (token, issuer)
        if len(self._verified) > _REMEMBERED:
            self._verified.popitem(last=False)
        return token

    def _recall(self, digest: bytes, now: float) -> Token | None:
        """What was verified before, if the tenant still takes this issuer's tokens on the same terms."""
        found = self._verified.get(digest)
        if found is None:
            return None
        token, issuer = found
        if self._issuers(token.tenant).get(token.issuer) != issuer:
            del self._verified[digest]
            return None
        if token.expires_at <= now:
            del self._verified[digest]
            raise SlipstreamError(Code.TOKEN_EXPIRED, "the token has expired: get a new one")
        self._verified.move_to_end(digest)
        return token


def peek(text: str) -> Claimed:
    """What a token says, unchecked. `jku`, `x5u`, `jwk` and `x5c` of its header are not looked at.

    Raises UNAUTHORIZED where it is no signed JWT with an issuer and a tenant.
    """
    if len(text) > TOKEN_BYTES:
        refuse(f"it has more than {TOKEN_BYTES} characters")
    try:
        head, body, _ = text.split(".")
        payload = base64url_decode(body)
        header, claims = orjson.loads(base64url_decode(head)), orjson.loads(payload)
    except ValueError:
        refuse("it is no signed JWT")
    if not isinstance(header, dict) or not isinstance(claims, dict):
        refuse("it is no signed JWT")
    algorithm, kid, issuer = header.get("alg"), header.get("kid"), claims.get("iss")
    if not isinstance(algorithm, str) or not isinstance(issuer, str) or not isinstance(kid, str | None):
        refuse("it needs alg in its header, and the claims iss, sub, aud, exp and tenant")
    return Claimed(algorithm, kid, issuer, tenant_of(claims), claims, payload)
