"""Issuers as documents name them."""

from typing import Any

import pytest
from pydantic import ValidationError

from slipstream.auth.issuers import IssuersError, IssuersOf, read_issuers
from slipstream.tenants.document import from_json, to_json
from slipstream.tenants.issuer import Issuer
from slipstream.tenants.model import Tenant, TenantSpec
from slipstream.tenants.registry import Registry
from tests.tokens import ISSUER, ec_key, jwk

URL = "https://id.example/jwks"
OTHER = "https://other.example"


def issuer(**fields: Any) -> Issuer:
    return Issuer.model_validate({"issuer": ISSUER, **fields})


@pytest.mark.parametrize("url", [URL, "http://127.0.0.1:9/jwks", "http://localhost/jwks", "http://[::1]:8000/jwks"])
def test_keys_come_over_https_or_from_this_machine(url: str) -> None:
    assert issuer(jwks_url=url).allowed == ("RS256", "ES256", "EdDSA")


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"jwks_url": URL, "secret": "dev"},
        {"jwks_url": URL, "algorithms": ["HS256"]},
        {"jwks_url": URL, "algorithms": ["RS256", "HS256"]},
        {"jwks_url": URL, "algorithms": ["none"]},
        {"jwks_url": URL, "algorithms": []},
        {"jwks_url": "http://id.example/jwks"},
        {"jwks_url": "http://127.0.0.1.example/jwks"},
        {"jwks_url": "file:///etc/passwd"},
        {"jwks_url": "https://user:pass@id.example/jwks"},
        {"jwks_url": "https:///jwks"},
        {"secret": "../acme/dev"},
        {"secret": "dev", "algorithms": ["RS256"]},
        {"keys": []},
        {"keys": [{"kty": "oct", "k": "AAAA"}]},
        pytest.param({"keys": [{**jwk(ec_key()), "d": "AAAA"}]}, id="a private key"),
        {"keys": [{"kty": "RSA", "n": "AQAB"}]},
        pytest.param({"keys": [{**jwk(ec_key()), "kid": "x" * 129}]}, id="a long key id"),
        {"jwks_url": URL, "max_lifetime": 0},
        {"jwks_url": URL, "audience": ""},
        {"jwks_url": URL, "issuer": " x"},
        {"jwks_url": URL, "color": "red"},
    ],
    ids=str,
)
def test_what_would_open_a_hole_or_never_work_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        issuer(**fields)


def test_a_tenants_issuers_survive_the_way_to_the_edges() -> None:
    issuers = [
        {"issuer": ISSUER, "keys": {"keys": [jwk(ec_key())]}, "max_lifetime": "1h"},
        {"issuer": "b", "secret": "s"},
    ]
    tenant = Tenant.of("acme", TenantSpec.model_validate({"issuers": issuers}))
    again = from_json(to_json(tenant))
    assert again == tenant
    assert again.spec.issuers[0].max_lifetime == 3_600
    assert again.spec.issuers[0].keys == (jwk(ec_key()),)


def test_two_issuers_of_one_name_are_refused() -> None:
    with pytest.raises(ValidationError, match="there twice"):
        TenantSpec.model_validate({"issuers": [{"issuer": ISSUER, "secret": "a"}, {"issuer": ISSUER, "secret": "b"}]})


def test_a_tenants_own_issuers_take_the_place_of_the_default_ones() -> None:
    registry, default, own = Registry(), issuer(jwks_url=URL), issuer(issuer=OTHER, secret="s")
    registry.replace({"plain": Tenant.of("plain"), "own": Tenant.of("own", TenantSpec(issuers=(own,)))})
    of = IssuersOf((default,), registry)
    assert of("plain") == of("nobody") == {ISSUER: default}
    assert of("own") == {OTHER: own}


def test_the_file_of_default_issuers(tmp_path: Any) -> None:
    path = tmp_path / "issuers.yaml"
    path.write_text(f"issuers:\n- issuer: {ISSUER}\n  jwks_url: {URL}\n  algorithms: [ES256]\n")
    assert read_issuers(path) == (issuer(jwks_url=URL, algorithms=["ES256"]),)
    path.write_text("")
    assert read_issuers(path) == ()
    for wrong in ("[", "- a", "issuer: x", "issuers: [{issuer: x}]", "a: 2001-99-99"):
        path.write_text(wrong)
        with pytest.raises(IssuersError, match=r"issuers\.yaml"):
            read_issuers(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(IssuersError):
        read_issuers(path)
