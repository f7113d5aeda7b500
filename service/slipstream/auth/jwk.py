"""Public keys (RFC 7517) that tokens are checked with, and which algorithms each of them is for."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import jwt
import orjson
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from slipstream.tenants.issuer import KID_MAX

_RSA_BITS_MIN: Final = 2_048
"""Least size of an RSA key (RFC 7518 sections 3.3 and 3.5)."""
_KEYS_MAX: Final = 256

_ALGORITHMS: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        "RSA": frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}),
        "P-256": frozenset({"ES256"}),
        "P-384": frozenset({"ES384"}),
        "P-521": frozenset({"ES512"}),
        "Ed25519": frozenset({"EdDSA"}),
        "Ed448": frozenset({"EdDSA"}),
    }
)


class Key(NamedTuple):
    """One key: its name, what it is for, and what PyJWT checks with."""

    kid: str | None
    algorithms: frozenset[str]
    material: Any


class KeySet:
    """Keys by name; what is no public signing key of a kind we know is left out (RFC 7517 section 5)."""

    def __init__(self, documents: Iterable[Mapping[str, Any]]) -> None:
        self._keys = [key for key in map(_read, documents) if key is not None]
        self._named = {key.kid: key for key in self._keys if key.kid is not None}

    def __len__(self) -> int:
        return len(self._keys)

    @classmethod
    def parse(cls, text: bytes) -> KeySet:
        """A JWK Set. Raises ValueError where it is none, or has no key that can be used."""
        try:
            document = orjson.loads(text)
        except orjson.JSONDecodeError as error:
            raise ValueError(f"it is not JSON: {error}") from error
        keys = document.get("keys") if isinstance(document, dict) else None
        if not isinstance(keys, list) or len(keys) > _KEYS_MAX:
            raise ValueError(f"it is no JWK Set of at most {_KEYS_MAX} keys")
        found = cls(key for key in keys if isinstance(key, dict))
        if not found:
            raise ValueError("it has no public key to check signatures with")
        return found

    def find(self, kid: str | None, algorithm: str) -> Key | None:
        """The key of this name for this algorithm. A token that names none means the only one there is for it."""
        if kid is not None:
            key = self._named.get(kid)
            return key if key is not None and algorithm in key.algorithms else None
        fitting = [key for key in self._keys if algorithm in key.algorithms]
        return fitting[0] if len(fitting) == 1 else None


def _read(document: Mapping[str, Any]) -> Key | None:
    kind = document.get("kty")
    algorithms = _ALGORITHMS.get(str(kind if kind == "RSA" else document.get("crv")))
    if kind not in ("RSA", "EC", "OKP") or algorithms is None or document.get("use", "sig") != "sig":
        return None
    kid = document.get("kid")
    if kid is not None and (not isinstance(kid, str) or len(kid) > KID_MAX):
        return None
    if "alg" in document:
        algorithms &= {str(document["alg"])}
    if not algorithms or "d" in document:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", jwt.warnings.InsecureKeyLengthWarning)
            material = jwt.PyJWK(dict(document), algorithm=min(algorithms)).key
    except (jwt.PyJWTError, ValueError, TypeError, KeyError, AttributeError):
        return None
    if isinstance(material, RSAPublicKey) and material.key_size < _RSA_BITS_MIN:
        return None
    return Key(kid, algorithms, material)
