"""`spec.cors` in a tenant document."""

import pytest

from slipstream.tenants import Tenant, TenantError, from_json, parse_tenants, to_json
from slipstream.tenants.cors import Cors

HEAD = "apiVersion: slipstream.dev/v1alpha1\nkind: Tenant\nmetadata: {name: acme}\nspec:\n"


def cors(text: str) -> Cors | None:
    (tenant,) = parse_tenants(f"{HEAD}  cors: {text}\n")
    assert from_json(to_json(tenant)) == tenant
    return tenant.spec.cors


def fault(text: str) -> str:
    with pytest.raises(TenantError) as caught:
        parse_tenants(f"{HEAD}  cors: {text}\n")
    (one,) = caught.value.faults
    return one.removeprefix("document 1 ('acme'): spec.cors")


def test_what_is_left_out_has_a_default() -> None:
    assert Tenant.of("acme").spec.cors is None
    assert cors("") is None
    read = cors("{origins: ['https://app.example.com', 'https://*.example.com:8443']}")
    assert read == Cors(origins=("https://app.example.com", "https://*.example.com:8443"))
    assert read is not None
    assert (read.credentials, read.max_age) == (True, 600)
    assert cors("{origins: [], credentials: false, max_age: 2h}") == Cors(origins=(), credentials=False, max_age=7200)


@pytest.mark.parametrize(
    "origin",
    [
        "https://app.example.com",
        "http://localhost:3000",
        "http://*.localhost",
        "https://*.a.b.example.com",
        "https://my_app.example.com",
        "https://xn--bcher-kva.example",
        "http://127.0.0.1:8080",
        "http://[::1]:3000",
        "http://example.com:443",
        "https://example.com:80",
        "https://example.com:65535",
        "https://" + "a." * 126 + "a",
    ],
)
def test_an_origin_is_as_a_browser_writes_it(origin: str) -> None:
    assert cors(f"{{origins: ['{origin}']}}") == Cors(origins=(origin,))


@pytest.mark.parametrize(
    ("origin", "reason"),
    [
        ("*", "would be any page"),
        ("null", "would be any page"),
        ("", "is no origin"),
        ("https://", "is no origin"),
        ("app.example.com", "is no origin"),
        ("//app.example.com", "is no origin"),
        ("ftp://app.example.com", "is no origin"),
        ("file://", "is no origin"),
        ("HTTPS://app.example.com", "is no origin"),
        ("https://App.example.com", "is no origin"),
        ("https://app.example.com/", "is no origin"),
        ("https://app.example.com/path", "is no origin"),
        ("https://app.example.com?x", "is no origin"),
        ("https://me@app.example.com", "is no origin"),
        ("https://app.example.com ", "is no origin"),
        ("https://app.example.com\\n", "is no origin"),
        ("https://bücher.example", "is no origin"),
        ("https://app.*.com", "is no origin"),
        ("https://*.*.example.com", "is no origin"),
        ("https://a*.example.com", "is no origin"),
        ("https://*", "is no origin"),
        ("https://app.example.com:", "is no origin"),
        ("https://app.example.com:0", "is no origin"),
        ("https://app.example.com:08443", "is no origin"),
        ("https://app.example.com:*", "is no origin"),
        ("https://*.com", "name two labels"),
        ("https://app.example.com.", "is no host name"),
        ("https://.example.com", "is no host name"),
        ("https://a..example.com", "is no host name"),
        ("https://-a.example.com", "is no host name"),
        ("https://*.0.0.1", "is no host name"),
        ("https://127.1", "is no host name"),
        ("https://256.0.0.1", "is no host name"),
        ("https://1.2.3.0x4", "is no host name"),
        ("https://[::0001]", "is no host name"),
        ("https://[:]", "is no host name"),
        ("https://" + "a." * 126 + "aa", "is no host name"),
        ("https://" + "a" * 64 + ".example", "is no host name"),
        ("https://app.example.com:443", "port 443 never comes"),
        ("http://app.example.com:80", "port 80 never comes"),
        ("https://app.example.com:65536", "port 65536 never comes"),
    ],
)
def test_what_would_never_match_or_match_too_much_is_refused(origin: str, reason: str) -> None:
    told = fault(f'{{origins: ["{origin}"]}}')
    assert told.startswith(".origins.0: ")
    assert reason in told


def test_the_rest_is_bounded_and_closed() -> None:
    origins = ", ".join(f"'https://a{number}.example'" for number in range(65))
    assert "at most 64" in fault(f"{{origins: [{origins}]}}")
    assert fault("{}") == ".origins: it is missing"
    assert "less than or equal to 86400" in fault("{origins: [], max_age: 2d}")
    assert "greater than or equal to 0" in fault("{origins: [], max_age: -1}")
    assert fault("{origins: [], credentials: 'yes'}") == ".credentials: it should be a valid boolean"
    assert "did you mean origins" in fault("{origins: [], origin: []}")
