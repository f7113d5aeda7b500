"""The cookie that a browser comes back with (RFC 6265bis).

It is set by the answer that spends a ticket, and set anew by the one that gives a stream a newer token.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from aiohttp import web

from slipstream.auth.claims import Token
from slipstream.auth.verify import peek
from slipstream.edge.cors import cookie_counts
from slipstream.protocol.errors import Code, SlipstreamError

COOKIE: Final = "__Host-slipstream"


class Kept(NamedTuple):
    """What a browser is to come back with: a token's text, and when it ends (Unix seconds)."""

    token: str
    expires_at: int


KEPT = web.RequestKey("kept", Kept)
"""Set where the answer to a request, whatever it is, has the cookie."""

_BYTES_MAX: Final = 4_096
"""What browsers keep of a cookie's name, its `=` and its value (RFC 6265bis section 5.6)."""

_VALUE: Final = re.compile(r"[A-Za-z0-9_.-]+")
_NONE: Final[Mapping[str, str]] = MappingProxyType({})


def check_value(token: str) -> None:
    """Raises BAD_REQUEST for a token that no browser could bring back."""
    longest = _BYTES_MAX - len(COOKIE) - 1
    if len(token) > longest or not _VALUE.fullmatch(token):
        raise SlipstreamError(
            Code.BAD_REQUEST,
            f"a browser would come back with this token in a cookie, and it does not fit: it has {len(token)}"
            f" characters, of at most {longest}; have its issuer leave claims out",
        )


def comes_with_cookie(request: web.Request, token: Token) -> bool:
    """Whether the browser that asks would come back as this token's subject.

    Another subject's cookie is another page's of the same host, and not to be overwritten.
    """
    cookie = request.cookies.get(COOKIE)
    if not cookie or not cookie_counts(request):
        return False
    try:
        # Unchecked, as it may have ended: all that it decides is whether its place is taken.
        claimed = peek(cookie)
    except SlipstreamError:
        return False
    return (claimed.tenant, claimed.claims.get("sub")) == (token.tenant, token.subject)


def cookie_headers(request: web.Request) -> Mapping[str, str]:
    """What every answer to a request with something to keep has.

    Nothing where a cookie would not count: who made the browser ask could give it a session of their own.
    """
    kept = request.get(KEPT)
    if kept is None or not cookie_counts(request):
        return _NONE
    seconds = kept.expires_at - int(time.time())
    if seconds <= 0:
        return _NONE
    # A Strict cookie of another site's page is not kept (RFC 6265bis 5.7); Partitioned: for pages of that site alone.
    foreign = request.headers.get("Sec-Fetch-Site") == "cross-site"
    site = "None; Partitioned" if foreign else "Strict"
    return {"Set-Cookie": f"{COOKIE}={kept.token}; Max-Age={seconds}; Path=/; HttpOnly; Secure; SameSite={site}"}
