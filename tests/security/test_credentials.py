"""Tokens and key sets that are anything: read, or refused, in bounded time."""

import contextlib
import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipstream.auth.jwk import KeySet
from slipstream.auth.keyring import Keyring, SecretAbsent
from slipstream.auth.verify import TOKEN_BYTES, Verifier, peek
from slipstream.protocol.errors import Code, SlipstreamError
from slipstream.tenants.issuer import Issuer
from tests.security.noise import (
    ANY,
    SOME,
    TEXT,
    VALUE,
    as_header,
    done,
    refused,
)
from tests.tokens import ISSUER, b64, claims, ec_key, hmac_token, jwk, token

KEY, SECRET = ec_key(), b"0123456789abcdef0123456789abcdef"
GOOD = token(KEY, claims(1_795_527_707.0))


def _secret(tenant: str, name: str) -> bytes:
    if (tenant, name) != ("acme", "dev"):
        raise SecretAbsent("no such secret")
    return SECRET


async def _never(url: str) -> bytes:
    raise AssertionError(f"{url} was asked for")


ISSUERS: Mapping[str, Issuer] = {
    ISSUER: Issuer.model_validate({"issuer": ISSUER, "keys": [jwk(KEY)]}),
    "other": Issuer.model_validate({"issuer": "other", "secret": "dev"}),
}


def verify(text: str) -> Any:
    verifier = Verifier(Keyring(_never, _secret, lambda: 0.0), lambda _: ISSUERS)
    return done(verifier.verify(text, 1_795_527_707.0))


@ANY
@SOME
@given(st.lists(TEXT | st.binary(max_size=30).map(b64), max_size=4).map(".".join).map(as_header))
def test_what_is_no_token(text: str) -> None:
    for look in (peek, verify):
        with pytest.raises(SlipstreamError) as caught:
            look(text)
        assert caught.value.code is Code.UNAUTHORIZED
        assert not text.strip(". ") or len(text) < 12 or text not in caught.value.message


@ANY
@SOME
@given(st.dictionaries(st.sampled_from(["alg", "kid", "typ", "crit", "b64", "jwk"]), VALUE, max_size=4), st.data())
def test_a_token_whose_parts_are_anything(header: dict[str, Any], data: st.DataObject) -> None:
    names = st.sampled_from(["iss", "sub", "aud", "tenant", "scope", "iat", "nbf", "exp", "jti", "topics"])
    changes = data.draw(st.dictionaries(names, VALUE, max_size=4))
    says = {**claims(1_795_527_707.0), **changes}
    texts = [f"{b64(json.dumps(header).encode('utf-8', 'replace'))}.{b64(json.dumps(says).encode())}.{b64(b'x' * 64)}"]
    texts.append(hmac_token(SECRET, {**says, "iss": "other"}))
    for text in texts:
        if len(text) > TOKEN_BYTES:
            continue
        with refused(401):
            found = verify(text)
            assert text == texts[1], "signed by nobody"
            assert found.tenant == says["tenant"]
            assert 0 < found.expires_at - 1_795_527_707 <= 86_400


@ANY
@SOME
@given(st.integers(0, len(GOOD) - 1), st.sampled_from("ABCxyz019-_.=+/ \0\u00e9"))
def test_a_token_with_one_other_character_is_another(at: int, character: str) -> None:
    text = GOOD[:at] + character + GOOD[at + 1 :]
    if text == GOOD:
        verify(text)
        return
    with pytest.raises(SlipstreamError):
        verify(text)


JWKS = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(("kty", "crv", "kid", "alg", "use", "n", "e", "x", "y", "d", "k", "key_ops"), VALUE)
)


@ANY
@SOME
@given(
    st.lists(st.one_of(JWKS, JWKS.map(lambda changes: {**jwk(KEY), **changes}), VALUE), max_size=3),
    st.binary(max_size=30),
)
def test_a_key_set(keys: list[Any], noise: bytes) -> None:
    for text in (
        json.dumps({"keys": keys}).encode("utf-8", "replace"),
        noise,
        json.dumps(keys).encode("utf-8", "replace"),
    ):
        try:
            found = KeySet.parse(text)
        except ValueError:
            continue
        assert 0 < len(found) <= len(keys)


@ANY
@pytest.mark.timeout(20)
def test_a_key_set_of_the_most_bytes() -> None:
    """256 KiB are read of an issuer: as many keys, or as large ones, as fit."""
    many = [{**jwk(KEY), "kid": str(number)} for number in range(256)]
    assert len(KeySet.parse(json.dumps({"keys": many}).encode())) == 256
    with pytest.raises(ValueError, match="at most 256"):
        KeySet.parse(json.dumps({"keys": [*many, jwk(KEY)]}).encode())
    huge = {"kty": "RSA", "n": b64(b"\xff" * 180_000), "e": b64(b"\x01" + b"\0" * 20_000 + b"\x01")}
    with contextlib.suppress(ValueError):
        KeySet.parse(json.dumps({"keys": [huge]}).encode())
    with pytest.raises(ValueError, match="JSON"):
        KeySet.parse(b'{"keys":' + b"[" * 250_000)
