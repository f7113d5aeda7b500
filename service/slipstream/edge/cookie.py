"""The cookie that a browser comes back with: set by the answer that spends a ticket (RFC 6265bis)."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from aiohttp import web

from slipstream.auth.ticket import Ticket
from slipstream.edge.cors import cookie_counts
from slipstream.protocol.errors import Code, SlipstreamError

COOKIE: Final = "__Host-slipstream"

SPENT = web.RequestKey("spent_ticket", Ticket)
"""The ticket that let a request in, and that lets nobody in again."""

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
            f"a ticket ends in a cookie, and this token cannot stand in one: it has {len(token)} characters, of at most"
            f" {longest}; have its issuer leave claims out",
        )


def cookie_headers(request: web.Request) -> Mapping[str, str]:
    """What every answer to a request that spent a ticket has: its URL lets nobody in again, but the browser returns.

    Nothing where a cookie would not count: who made the browser ask could give it a session of their own.
    """
    ticket = request.get(SPENT)
    if ticket is None or not cookie_counts(request):
        return _NONE
    seconds = ticket.expires_at - int(time.time())
    if seconds <= 0:
        return _NONE
    # A Strict cookie of another site's page is not kept (RFC 6265bis 5.7); Partitioned: for pages of that site alone.
    foreign = request.headers.get("Sec-Fetch-Site") == "cross-site"
    site = "None; Partitioned" if foreign else "Strict"
    return {"Set-Cookie": f"{COOKIE}={ticket.token}; Max-Age={seconds}; Path=/; HttpOnly; Secure; SameSite={site}"}
