"""What a signature of an event covers, and the two kinds of signature there are."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from typing import Final, Literal

import jwt
from jwt.api_jws import PyJWS

from slipstream.shape.event import Event

Algorithm = Literal["HS256", "ES256", "EdDSA", "hmac-sha256"]
Signer = Callable[[Event], str]

SECRET_MIN: Final = 32
"""Least bytes of a shared secret: as many as the hash has (RFC 7518 section 3.2, RFC 2104 section 3)."""


def signing_input(event: Event) -> bytes:
    """Id, topic and event name, each on a line of its own (LF), and the data, in UTF-8; the default name is empty.

    None of the first three can have a line end in it. In the data CRLF and CR are LF: an event stream makes LF of
    them (WHATWG HTML section 9.2.6), so no other form would reach all readers.
    """
    data = event.data
    if b"\r" in data:
        data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return f"{event.id}\n{event.topic}\n{event.event}\n".encode() + data


def signer(algorithm: Algorithm, kid: str, secret: bytes) -> Signer:
    """What signs events with this key.

    HS256, ES256, EdDSA: a JWS with detached content (RFC 7515 appendix F), compact: `<header>..<signature>`. The
        content is not base64 (RFC 7797: header `b64` false and `crit`); `kid` is in the header. The secret is at least
        32 bytes for HS256, else a private key as PEM (P-256 for ES256; Ed25519 or Ed448 for EdDSA).
    hmac-sha256: `<kid>:<HMAC-SHA256 in hex>`.

    Raises ValueError for a secret that is no such key; the message has nothing of it.
    """
    if algorithm in ("HS256", "hmac-sha256") and len(secret) < SECRET_MIN:
        raise ValueError(f"the secret has {len(secret)} bytes, {algorithm} needs at least {SECRET_MIN} random ones")
    if algorithm == "hmac-sha256":
        return lambda event: f"{kid}:{hmac.digest(secret, signing_input(event), hashlib.sha256).hex()}"
    jws = PyJWS()
    header = {"kid": kid, "typ": ""}  # an empty one is left out: this is no JWT
    try:
        key = jws.get_algorithm_by_name(algorithm).prepare_key(secret)  # reading PEM takes longer than signing
        jws.encode(b"", key, algorithm, header, is_payload_detached=True)
    except (jwt.PyJWTError, ValueError, TypeError, AttributeError):  # a public key has no `sign`
        # Nothing of the cause: what reads keys may quote them.
        raise ValueError(f"the secret is no private key for {algorithm}: use PEM (PKCS 8)") from None
    return lambda event: jws.encode(signing_input(event), key, algorithm, header, is_payload_detached=True)
