"""Signatures, checked without the library that made them."""

import base64
import hashlib
import hmac
import json
from typing import cast

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from slipstream.shape.event import Event
from slipstream.shape.signature import Algorithm, signer, signing_input
from tests.unit.shape.keys import SHARED, pairs, private_pem, public_pem

EVENT = Event("abcdefgh-7-1lom6tc", "orders.new", "", 1_700_000_000_000, b'{"a":1}')
COVERED = b'abcdefgh-7-1lom6tc\norders.new\n\n{"a":1}'


def opened(signature: str) -> tuple[dict[str, object], bytes, bytes]:
    """Header, what was signed, the signature's bytes."""
    head, middle, tail = signature.split(".")
    assert middle == "", "the content is detached"
    pad = "=="
    return json.loads(base64.urlsafe_b64decode(head + pad)), head.encode() + b".", base64.urlsafe_b64decode(tail + pad)


def test_what_is_covered() -> None:
    assert signing_input(EVENT) == COVERED
    assert signing_input(EVENT._replace(event="paid", signature="x")) == COVERED.replace(b"\n\n", b"\npaid\n")
    assert signing_input(EVENT._replace(data=b"a\r\nb\rc\n\r")) == COVERED.replace(b'{"a":1}', b"a\nb\nc\n\n")


def test_an_hmac_is_the_key_id_and_hex() -> None:
    expected = hmac.new(SHARED, COVERED, hashlib.sha256).hexdigest()
    assert signer("hmac-sha256", "k1", SHARED)(EVENT) == f"k1:{expected}"


def test_hs256_is_a_detached_jws_with_unencoded_content() -> None:
    header, head, signature = opened(signer("HS256", "k1", SHARED)(EVENT))
    assert header == {"alg": "HS256", "b64": False, "crit": ["b64"], "kid": "k1"}
    assert signature == hmac.digest(SHARED, head + COVERED, hashlib.sha256)


def test_eddsa_is_verified_with_the_public_key_alone() -> None:
    key = ed25519.Ed25519PrivateKey.generate()
    header, head, signature = opened(signer("EdDSA", "k2", private_pem(key))(EVENT))
    assert header == {"alg": "EdDSA", "b64": False, "crit": ["b64"], "kid": "k2"}
    key.public_key().verify(signature, head + COVERED)
    with pytest.raises(InvalidSignature):
        key.public_key().verify(signature, head + COVERED + b" ")


def test_es256_has_the_right_header_and_length() -> None:
    header, _, signature = opened(signer("ES256", "k3", pairs()["ES256"][0])(EVENT))
    assert header == {"alg": "ES256", "b64": False, "crit": ["b64"], "kid": "k3"}
    assert len(signature) == 64


@pytest.mark.parametrize(
    ("algorithm", "secret", "reason"),
    [
        ("HS256", b"x" * 31, "needs at least 32"),
        ("hmac-sha256", b"", "has 0 bytes"),
        ("HS256", public_pem(ec.generate_private_key(ec.SECP256R1())), "no private key"),
        ("ES256", b"hunter2", "no private key for ES256"),
        ("ES256", public_pem(ec.generate_private_key(ec.SECP256R1())), "no private key"),
        ("ES256", private_pem(ec.generate_private_key(ec.SECP384R1())), "no private key"),
        ("ES256", private_pem(ed25519.Ed25519PrivateKey.generate()), "no private key"),
        ("EdDSA", public_pem(ed25519.Ed25519PrivateKey.generate()), "no private key"),
        ("EdDSA", b"\xff", "no private key"),
    ],
)
def test_a_secret_that_is_no_such_key_is_refused_without_being_told(algorithm: str, secret: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason) as caught:
        signer(cast("Algorithm", algorithm), "k1", secret)
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None
