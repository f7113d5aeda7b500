"""Origins against a tenant's rules: what attackers try, each with its reason."""

import pytest

from slipstream.tenants.cors import Cors
from slipstream.tenants.origin import allowed, allowed_by_any, cookie_allowed, together, written_by_browser

ACME = Cors(origins=("https://acme.com", "https://*.acme.com", "http://localhost:3000"))
EVIL = "https://evil.example"


@pytest.mark.parametrize(
    "origin",
    [
        "https://acme.com",
        "https://app.acme.com",
        "https://a-b_1.acme.com",
        "https://1.acme.com",
        "http://localhost:3000",
    ],
)
def test_what_the_tenant_names_is_allowed(origin: str) -> None:
    assert allowed(origin, ACME)


@pytest.mark.parametrize(
    "origin",
    [
        "",
        "*",
        "null",  # a sandboxed frame, a file: anybody's
        "https://evil-acme.com",  # ends alike
        "https://evilacme.com",
        "https://acme.com.evil",  # begins alike
        "https://acme.comevil",
        "https://app.acme.com.evil",
        "https://a.b.acme.com",  # two labels
        "https://.acme.com",  # no label
        "https://*.acme.com",  # the pattern itself
        "http://acme.com",  # another scheme
        "https://localhost:3000",
        "http://localhost",  # another port
        "http://localhost:30000",
        "https://acme.com:443",  # browsers leave it out
        "https://acme.com:8443",
        "https://acme.com:",
        "https://ACME.com",  # browsers write lower case
        "HTTPS://acme.com",
        "https://acme.com.",  # a trailing dot is another origin
        "https://app.acme.com.",
        "https://acme.com/",
        "https://acme.com/x",
        "https://evil.com/.acme.com",  # what is no label before the suffix
        "https://evil.com?.acme.com",
        "https://evil.com#.acme.com",
        "https://evil.com:1.acme.com",
        "https://evil.com\\.acme.com",
        "https://evil@acme.com",  # userinfo
        "https://acme.com@evil.example",
        "https://evil@.acme.com",
        "https://a%2eb.acme.com",
        "https://\u0430cme.com",  # a Cyrillic a
        "https://xn--cme-7cd.com",  # the same in punycode
        "https://\u00fc.acme.com",  # browsers write xn--
        "https://a\u3002acme.com",  # an ideographic full stop
        "https://acme.com https://evil.example",
        "https://evil.example, https://acme.com",
        " https://acme.com",
        "https://acme.com\n",
        "https://a\n.acme.com",
        "https://acme.com\x00",
        "https://" + "a" * 64 + ".acme.com",  # no such label
    ],
)
def test_what_only_looks_like_it_is_not(origin: str) -> None:
    assert not allowed(origin, ACME)
    assert allowed_by_any(origin, together([ACME])) is None


def test_no_origins_allow_none() -> None:
    assert not allowed("https://acme.com", Cors(origins=()))


def test_a_cookie_counts_from_here_and_from_where_the_tenant_says() -> None:
    for site in ("same-origin", "same-site", "none"):
        assert cookie_allowed(site, None, None)
    assert cookie_allowed("cross-site", "https://app.acme.com", ACME)
    assert cookie_allowed(None, "https://app.acme.com", ACME)  # a browser without Fetch Metadata


@pytest.mark.parametrize("site", [None, "", "cross-site", "Same-Origin", "same-origin, cross-site"])
def test_a_cookie_that_another_site_made_the_browser_send_does_not(site: str | None) -> None:
    assert not cookie_allowed(site, None, ACME)  # an image, a form sent with GET
    assert not cookie_allowed(site, EVIL, ACME)
    assert not cookie_allowed(site, "null", ACME)
    assert not cookie_allowed(site, "https://acme.com", None)
    assert not cookie_allowed(site, "https://acme.com", ACME.model_copy(update={"credentials": False}))


def test_all_tenants_together_allow_what_one_of_them_does() -> None:
    open_one = Cors(origins=("https://app.acme.com", "https://b.example"), credentials=False)
    careful = Cors(origins=("https://acme.com", "https://b.example"), credentials=False)
    both = together([open_one, ACME, careful])
    assert allowed_by_any("https://acme.com", both) is True
    assert allowed_by_any("https://app.acme.com", both) is True
    assert allowed_by_any("https://b.example", both) is False
    assert allowed_by_any(EVIL, both) is None
    assert allowed_by_any(EVIL, together([])) is None


def test_only_what_a_browser_writes_is_sent_back() -> None:
    for origin in ("https://app.acme.com", "http://[::1]:3000", "http://127.0.0.1"):
        assert written_by_browser(origin)
    for origin in ("null", "*", "", "https://a b", "https://a\n", "https://\udcff", "chrome-extension://abc"):
        assert not written_by_browser(origin)
