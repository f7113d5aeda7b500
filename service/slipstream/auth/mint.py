"""Tokens for development: what an issuer does, in a few lines, with a key of one's own."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import jwt
import orjson
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from jwt.utils import base64url_encode

from slipstream.tenants.issuer import AUDIENCE

DEV_ISSUER: Final = "slipstream-dev"

_SECRET_MIN: Final = 32
_CURVES: Final = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}
# What the name of a key is a hash of (RFC 7638 section 3.2, RFC 8037 section 2).
_THUMBPRINT: Final = {"RSA": ("e", "kty", "n"), "EC": ("crv", "kty", "x", "y"), "OKP": ("crv", "kty", "x")}


class SigningKey(NamedTuple):
    """A key that signs. jwk: its public half, as an issuer's `keys` has it; None for a shared secret."""

    algorithm: str
    material: Any
    jwk: dict[str, Any] | None


class Wanted(NamedTuple):
    """What a token is to say. topics: patterns for reading and publishing alike; None for all topics of the tenant."""

    tenant: str
    subject: str
    scopes: Sequence[str]
    topics: Sequence[str] | None
    issuer: str = DEV_ISSUER
    audience: str = AUDIENCE


def private_key(pem: bytes) -> SigningKey:
    """An RSA, EC (P-256, P-384, P-521) or Ed25519 key. Raises ValueError, with nothing of the key in it."""
    try:
        material = load_pem_private_key(pem, None)
    except (ValueError, TypeError):
        # Nothing of the cause: what reads keys may quote them.
        raise ValueError("it is no private key without a password: use PEM (PKCS 8)") from None
    if isinstance(material, RSAPrivateKey):
        algorithm = "RS256"
    elif isinstance(material, EllipticCurvePrivateKey) and material.curve.name in _CURVES:
        algorithm = _CURVES[material.curve.name]
    elif isinstance(material, Ed25519PrivateKey):
        algorithm = "EdDSA"
    else:
        raise ValueError("it is a key of another kind: use RSA, EC P-256, or Ed25519")
    public: Any = material.public_key()
    jwk = dict(jwt.get_algorithm_by_name(algorithm).to_jwk(public, as_dict=True))
    jwk = {name: value for name, value in jwk.items() if name != "key_ops"}
    named = orjson.dumps({name: jwk[name] for name in _THUMBPRINT[jwk["kty"]]})
    kid = base64url_encode(hashlib.sha256(named).digest()).decode()
    return SigningKey(algorithm, material, {**jwk, "kid": kid, "alg": algorithm, "use": "sig"})


def shared_secret(secret: bytes) -> SigningKey:
    """A secret for HS256. Raises ValueError for one of less than 32 bytes."""
    if len(secret) < _SECRET_MIN:
        raise ValueError(f"it has {len(secret)} bytes; HS256 needs {_SECRET_MIN} random ones")
    return SigningKey("HS256", secret, None)


def mint(wanted: Wanted, key: SigningKey, now: int, seconds: int, id_: str) -> str:
    """A token from `now` (Unix seconds) on, for so many seconds. id_: its `jti`."""
    claims: dict[str, Any] = {
        "iss": wanted.issuer,
        "sub": wanted.subject,
        "aud": wanted.audience,
        "tenant": wanted.tenant,
        "scope": " ".join(wanted.scopes),
        "iat": now,
        "exp": now + seconds,
        "jti": id_,
    }
    if wanted.topics is not None:
        claims["topics"] = {"subscribe": list(wanted.topics), "publish": list(wanted.topics)}
    headers = None if key.jwk is None else {"kid": key.jwk["kid"]}
    return jwt.encode(claims, key.material, key.algorithm, headers)
