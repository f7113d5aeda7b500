"""Authorizers as documents name them."""

import json
from typing import Any

import pytest

from slipstream.tenants.authorizer import Authorizer
from slipstream.tenants.document import TenantError, from_json, parse_tenants, to_json
from slipstream.tenants.model import Tenant, TenantSpec

URL = "https://auth.example/slipstream"


def read(authorizer: Any) -> Authorizer | None:
    document = {
        "apiVersion": "slipstream.dev/v1alpha1",
        "kind": "Tenant",
        "metadata": {"name": "acme"},
        "spec": {"authorizer": authorizer},
    }
    return Tenant.model_validate(document).spec.authorizer


def test_a_url_is_all_that_it_needs() -> None:
    assert read({"url": URL}) == Authorizer(url=URL, timeout=2.0, cache=30)
    assert read(None) is None


@pytest.mark.parametrize(
    ("given", "timeout", "cache"),
    [({"timeout": 0.5, "cache": 0}, 0.5, 0), ({"timeout": "10s", "cache": "1h"}, 10.0, 3_600), ({"timeout": 1}, 1, 30)],
    ids=str,
)
def test_times_are_seconds_or_words(given: dict[str, Any], timeout: float, cache: int) -> None:
    made = read({"url": URL, **given})
    assert made is not None
    assert (made.timeout, made.cache) == (timeout, cache)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({}, "spec.authorizer.url"),
        ({"url": "http://auth.example/"}, "use https"),
        ({"url": "ftp://auth.example/"}, "https://HOST/PATH"),
        ({"url": "https://user:word@auth.example/"}, "leave out the user"),
        ({"url": "https://auth.example/\n"}, "https://HOST/PATH"),
        ({"url": f"https://auth.example/{'x' * 2_048}"}, "spec.authorizer.url"),
        ({"url": URL, "timeout": 0}, "spec.authorizer.timeout"),
        ({"url": URL, "timeout": 11}, "spec.authorizer.timeout"),
        ({"url": URL, "timeout": True}, "spec.authorizer.timeout"),
        ({"url": URL, "cache": -1}, "spec.authorizer.cache"),
        ({"url": URL, "cache": 3_601}, "spec.authorizer.cache"),
        ({"url": URL, "cache": 1.5}, "spec.authorizer.cache"),
        ({"url": URL, "on_failure": "allow"}, "spec.authorizer.on_failure"),
    ],
    ids=str,
)
def test_what_would_open_a_hole_or_never_work_is_refused(fields: dict[str, Any], said: str) -> None:
    text = json.dumps({**json.loads(to_json(Tenant.of("acme"))), "spec": {"authorizer": fields}})
    with pytest.raises(TenantError) as caught:
        parse_tenants(text)
    assert said in str(caught.value)


def test_it_survives_the_way_through_nats() -> None:
    tenant = Tenant.of("acme", TenantSpec(authorizer=Authorizer(url=URL, timeout=0.25, cache=5)))
    assert from_json(to_json(tenant)) == tenant
