"""Keys that no token is signed with: what a signature is checked with where there is no key.

So a refusal costs the same, whether or not there are a tenant and an issuer of that name: 40 to 170 us of CPU would
tell (measured, PyJWT 2.15). What such a check finds does not count; and nobody has the other half of these keys, each
process makes its own.
"""

from __future__ import annotations

import secrets
from functools import cache
from typing import Any, Final, assert_never, cast, get_args

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from slipstream.tenants.issuer import Algorithm

_BITS: Final = 2_048
_EXPONENT: Final = 65_537
_CURVES: Final = {"ES256": ec.SECP256R1(), "ES384": ec.SECP384R1(), "ES512": ec.SECP521R1()}
_ALGORITHMS: Final = frozenset(get_args(Algorithm))


def decoy(algorithm: str) -> Any:
    """What PyJWT checks with, of the kind and the usual size for this algorithm; None for one that no issuer has."""
    # Nothing is remembered of others: they are any text of whoever asks.
    return _made(cast("Algorithm", algorithm)) if algorithm in _ALGORITHMS else None


@cache
def _made(algorithm: Algorithm) -> Any:
    match algorithm:
        case "RS256" | "RS384" | "RS512" | "PS256" | "PS384" | "PS512":
            # Any odd number takes the same time as a product of two primes, and no 0.1 s to be found.
            modulus = secrets.randbits(_BITS) | 1 << (_BITS - 1) | 1
            return rsa.RSAPublicNumbers(_EXPONENT, modulus).public_key()
        case "ES256" | "ES384" | "ES512":
            return ec.generate_private_key(_CURVES[algorithm]).public_key()
        case "EdDSA":
            return ed25519.Ed25519PrivateKey.generate().public_key()
        case "HS256":
            return secrets.token_bytes(32)
        case _:
            assert_never(algorithm)
