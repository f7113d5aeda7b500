"""Whose data a request may touch, and what it may do there, decided anew for every request.

With tokens: what the token says. Without authentication: the tenant that the request names.
"""

from __future__ import annotations

import time
from typing import Final, Literal, NamedTuple

from aiohttp import web

from slipstream.auth.claims import EVERYTHING, Patterns, Token
from slipstream.auth.verify import peek
from slipstream.edge.cors import cookie_counts
from slipstream.edge.query import Query, parse_tenant
from slipstream.edge.services import SERVICES, Services
from slipstream.protocol.errors import Code, SlipstreamError, quoted
from slipstream.protocol.topic import Filters
from slipstream.tenants.model import Tenant

Right = Literal["subscribe", "publish"]

SUBSCRIBE: Final[Right] = "subscribe"
PUBLISH: Final[Right] = "publish"

COOKIE: Final = "__Host-slipstream"
URL_PARAMETER: Final = "access_token"
"""RFC 6750 section 2.3, which also says why not: URLs are kept by browsers, proxies and their logs."""

INVALID_TOKEN = web.RequestKey("invalid_token", bool)
"""Set where a token came and was refused: the challenge then says so (RFC 6750 section 3)."""


class Grant(NamedTuple):
    """What a request was given.

    scopes: RFC 6749 section 3.3. subscribe, publish: the topics. token: who asks, and until when; None where nobody
    has to prove anything.
    """

    tenant: Tenant
    scopes: frozenset[str]
    subscribe: Patterns = EVERYTHING
    publish: Patterns = EVERYTHING
    token: Token | None = None

    @property
    def subject(self) -> str | None:
        """Who asks, as the token says."""
        return None if self.token is None else self.token.subject

    def filters(self, query: Query, limit: int) -> Filters:
        """What a read gets: the topics that it names, or all that the token is for. At most `limit`.

        Raises BAD_REQUEST for malformed or too many ones, FORBIDDEN for one that the token does not cover: it is never
        narrowed in silence.
        """
        if not query.topics:
            if not self.subscribe:
                raise forbidden()
            return Filters.parse([one.text for one in self.subscribe], limit)
        filters = query.filters(limit)
        if not all(any(one.covers(wanted) for one in self.subscribe) for wanted in filters.items):
            raise forbidden()
        return filters

    def may_publish(self, topic: str) -> bool:
        """Whether it may publish to this topic (a checked one)."""
        return any(one.matches(topic) for one in self.publish)


async def authorize(request: web.Request, right: Right) -> Grant:
    """What this request may do.

    Raises UNAUTHORIZED, TOKEN_EXPIRED, FORBIDDEN, BAD_REQUEST, UPSTREAM_UNAVAILABLE; NOT_FOUND without tokens alone.
    """
    services = request.app[SERVICES]
    if services.options.open:
        return _anonymous(request, services, right)
    text = _credential(request, services)
    if not services.registry.loaded:
        raise _not_loaded()
    try:
        token = await services.verifier.verify(text, time.time())
    except SlipstreamError as error:
        if error.code in (Code.UNAUTHORIZED, Code.TOKEN_EXPIRED):
            request[INVALID_TOKEN] = True
        raise
    return _grant(request, services, token, right)


def known(services: Services, name: str) -> Tenant:
    """The tenant of this name. Raises NOT_FOUND, or UPSTREAM_UNAVAILABLE while there is no telling.

    With tokens FORBIDDEN instead of NOT_FOUND: who is not there, and who is not to be seen, look alike from outside.
    """
    tenant = services.registry.get(name)
    if tenant is not None:
        return tenant
    if not services.registry.loaded:
        raise _not_loaded()
    if not services.options.open:
        raise forbidden()
    raise SlipstreamError(Code.NOT_FOUND, f"there is no tenant {quoted(name)}: make it with `slipstream tenant apply`")


def forbidden() -> SlipstreamError:
    """The one answer to an unknown tenant, an unknown topic and a missing permission."""
    return SlipstreamError(
        Code.FORBIDDEN, "the token is not for this: check its tenant, its scope and its topics against the request"
    )


def _anonymous(request: web.Request, services: Services, right: Right) -> Grant:
    name = parse_tenant(request.query, request.headers)
    if name is None:
        raise SlipstreamError(Code.BAD_REQUEST, "say which tenant: ?tenant=NAME or the header X-Tenant-ID")
    scopes = services.options.anonymous_scopes
    if right not in scopes:
        raise SlipstreamError(Code.FORBIDDEN, f"nobody may {right} here: SLIPSTREAM_ANONYMOUS_SCOPES leaves it out")
    return Grant(known(services, name), scopes)


def _grant(request: web.Request, services: Services, token: Token, right: Right) -> Grant:
    named = parse_tenant(request.query, request.headers)
    tenant = known(services, token.tenant)
    if named not in (None, token.tenant) or right not in token.scopes:
        raise forbidden()
    return Grant(tenant, token.scopes, token.subscribe, token.publish, token)


def _credential(request: web.Request, services: Services) -> str:
    """The token that came with the request. What the caller put there goes before what a browser adds by itself.

    Raises UNAUTHORIZED where there is none, BAD_REQUEST for two.
    """
    given = request.headers.getall("Authorization", ())
    if len(given) > 1:
        raise SlipstreamError(Code.BAD_REQUEST, "the header Authorization is repeated: send it once")
    if given:
        scheme, _, text = given[0].strip().partition(" ")
        if scheme.lower() != "bearer" or not text.strip():
            raise SlipstreamError(Code.UNAUTHORIZED, "send Authorization: Bearer TOKEN")
        return text.strip()
    in_url = request.query.getall(URL_PARAMETER, ())
    if len(in_url) > 1:
        raise SlipstreamError(Code.BAD_REQUEST, f"the parameter {URL_PARAMETER} is repeated: send it once")
    if in_url and in_url[0] and _takes_urls(request, services, in_url[0]):
        return in_url[0]
    cookie = request.cookies.get(COOKIE)
    if cookie and cookie_counts(request):
        return cookie
    raise SlipstreamError(
        Code.UNAUTHORIZED,
        "there is no token: send Authorization: Bearer TOKEN; one in the URL counts only where the tenant allows it",
    )


def _takes_urls(request: web.Request, services: Services, text: str) -> bool:
    """Whether the tenant that a token names takes it from the URL."""
    try:
        tenant = services.registry.get(peek(text).tenant)
    except SlipstreamError:
        request[INVALID_TOKEN] = True
        raise
    return tenant is not None and tenant.spec.access_token_in_url


def _not_loaded() -> SlipstreamError:
    return SlipstreamError(Code.UPSTREAM_UNAVAILABLE, "the tenants are not loaded yet", retry_after=1.0)
