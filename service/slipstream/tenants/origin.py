"""Whether a page of another origin may use a tenant, by its `Origin` header alone, and whether its cookie counts."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from slipstream.tenants.cors import Cors

# One label, then at least one more. What stands behind it is compared whole with a rule that was checked.
_FIRST_LABEL: Final = re.compile(r"(https?://)[a-z0-9_-]{1,63}(\..+)")
_WRITTEN: Final = re.compile(r"https?://[a-z0-9._:\[\]-]{1,261}")

_OURS: Final = frozenset({"same-origin", "same-site", "none"})


def allowed(origin: str, cors: Cors) -> bool:
    """Whether a tenant with these rules shares its answers with `origin`, the text of the header.

    Compared to the letter: browsers write lower case, punycode and no default port (RFC 6454 section 6.2), so what is
    written in another way was not written by one. `null` is a sandboxed page, which is anybody's: never.
    """
    return any(_covering(origin, cors.origins))


def cookie_allowed(sec_fetch_site: str | None, origin: str | None, cors: Cors | None) -> bool:
    """Whether a credential that came as a cookie counts (cross-site request forgery).

    A browser adds cookies to what any page asks for, so another site could act for its visitor. It also says where the
    request comes from: `Sec-Fetch-Site` (W3C Fetch Metadata) and `Origin`, which no page can forge. A cookie counts
    from the same origin or site, from no page at all (`none`: the address bar), and from an origin that the tenant
    allows with credentials. Without either header it does not: nothing says who asks.
    """
    if sec_fetch_site in _OURS:
        return True
    return origin is not None and cors is not None and cors.credentials and allowed(origin, cors)


def written_by_browser(origin: str) -> bool:
    """Whether the text has the form of an origin with a host, so that it can stand in a header of ours."""
    return _WRITTEN.fullmatch(origin) is not None


def together(rules: Iterable[Cors]) -> Mapping[str, bool]:
    """The origins of all `rules`, and of each whether any of them takes credentials. For `allowed_by_any`."""
    known: dict[str, bool] = {}
    for cors in rules:
        for origin in cors.origins:
            known[origin] = known.get(origin, False) or cors.credentials
    return known


def allowed_by_any(origin: str, known: Mapping[str, bool]) -> bool | None:
    """None where no rule of `known` allows `origin`, else whether one that does takes credentials."""
    found = [known[rule] for rule in _covering(origin, known)]
    return any(found) if found else None


def _covering(origin: str, rules: Mapping[str, bool] | tuple[str, ...]) -> Iterator[str]:
    # A pattern sent as if it were an origin is none.
    if origin in rules and "*" not in origin:
        yield origin
    match = _FIRST_LABEL.fullmatch(origin)
    if match is not None and (pattern := f"{match[1]}*{match[2]}") in rules:
        yield pattern
