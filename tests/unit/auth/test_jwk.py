"""Which keys of a set are used, and for what."""

import json
from typing import Any

import pytest

from slipstream.auth.jwk import KeySet
from tests.tokens import ec_key, ed_key, jwk, rsa_key


def of(*keys: dict[str, Any]) -> KeySet:
    return KeySet.parse(json.dumps({"keys": keys}).encode())


def test_a_key_is_found_by_its_name_for_its_own_algorithms() -> None:
    keys = of(jwk(rsa_key()), jwk(ec_key()), jwk(ed_key()))
    assert len(keys) == 3
    for key in (rsa_key(), ec_key(), ed_key()):
        found = keys.find(jwk(key)["kid"], key.algorithm)
        assert found is not None
        assert found.algorithms == {key.algorithm}
    assert keys.find(jwk(rsa_key())["kid"], "ES256") is None
    assert keys.find("../../etc/passwd", "RS256") is None
    assert keys.find("", "RS256") is None


def test_without_alg_a_key_is_for_what_its_kind_can_do() -> None:
    bare = {name: value for name, value in jwk(rsa_key()).items() if name not in ("alg", "use")}
    found = of(bare).find(bare["kid"], "PS512")
    assert found is not None
    assert "RS256" in found.algorithms
    assert "HS256" not in found.algorithms


def test_a_token_without_kid_means_the_only_key_there_is() -> None:
    assert of(jwk(rsa_key()), jwk(ec_key())).find(None, "ES256") is not None
    assert of(jwk(rsa_key()), jwk(rsa_key(1))).find(None, "RS256") is None


@pytest.mark.parametrize(
    "changes",
    [{"use": "enc"}, {"alg": "HS256"}, {"kty": "oct", "k": "AAAA"}, {"n": "!"}, {"kid": 7}, {"kid": "x" * 129},
     {"d": "AAAA"}, {"alg": "none"}, {"kty": "EC"}],
    ids=str,
)  # fmt: skip
def test_what_is_no_public_signing_key_is_left_out(changes: dict[str, Any]) -> None:
    assert len(of(jwk(ec_key()), {**jwk(rsa_key()), **changes})) == 1
    with pytest.raises(ValueError, match="no public key"):
        of({**jwk(rsa_key()), **changes})


def test_a_short_rsa_key_is_left_out() -> None:
    with pytest.raises(ValueError, match="no public key"):
        of(jwk(rsa_key(bits=1024)))


@pytest.mark.parametrize("text", [b"", b"[]", b"{}", b'{"keys":{}}', b"\xff", b"<html>", b'{"keys":[1,null]}'])
def test_what_is_no_key_set_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError, match="it "):
        KeySet.parse(text)
