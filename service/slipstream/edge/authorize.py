"""Whose data a request may touch, and what it may do there. Without authentication: the tenant it names.

With tokens: nobody's yet.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

from aiohttp import web

from slipstream.edge.query import parse_tenant
from slipstream.edge.services import SERVICES, Services
from slipstream.protocol.errors import Code, SlipstreamError, quoted
from slipstream.tenants.model import Tenant

Right = Literal["subscribe", "publish"]

SUBSCRIBE: Final[Right] = "subscribe"
PUBLISH: Final[Right] = "publish"


class Grant(NamedTuple):
    """What a request was given: its tenant, and its scopes (RFC 6749 section 3.3)."""

    tenant: Tenant
    scopes: frozenset[str]


def authorize(request: web.Request, right: Right) -> Grant:
    """What this request may do. Raises UNAUTHORIZED, FORBIDDEN, NOT_FOUND or BAD_REQUEST."""
    services = request.app[SERVICES]
    if not services.options.open:
        raise SlipstreamError(Code.UNAUTHORIZED, "a valid token is needed, and no issuer of tokens is configured here")
    name = parse_tenant(request.query, request.headers)
    if name is None:
        raise SlipstreamError(Code.BAD_REQUEST, "say which tenant: ?tenant=NAME or the header X-Tenant-ID")
    scopes = services.options.anonymous_scopes
    if right not in scopes:
        raise SlipstreamError(Code.FORBIDDEN, f"nobody may {right} here: SLIPSTREAM_ANONYMOUS_SCOPES leaves it out")
    return Grant(known(services, name), scopes)


def known(services: Services, name: str) -> Tenant:
    """The tenant of this name. Raises NOT_FOUND, or UPSTREAM_UNAVAILABLE while there is no telling."""
    tenant = services.registry.get(name)
    if tenant is not None:
        return tenant
    if not services.registry.loaded:
        raise SlipstreamError(Code.UPSTREAM_UNAVAILABLE, "the tenants are not loaded yet", retry_after=1.0)
    raise SlipstreamError(Code.NOT_FOUND, f"there is no tenant {quoted(name)}: make it with `slipstream tenant apply`")
