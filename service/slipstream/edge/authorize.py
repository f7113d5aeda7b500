"""Whose data a request may touch, and what it may do there, decided anew for every request.

With tokens: what the token says. Without authentication: the tenant that the request names.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Final, Literal, NamedTuple

from aiohttp import web

from slipstream.auth.authorizer import Question
from slipstream.auth.claims import EVERYTHING, Patterns, Token, refuse_expired, refuse_revoked
from slipstream.auth.verify import peek
from slipstream.edge.cookie import COOKIE
from slipstream.edge.cors import cookie_counts
from slipstream.edge.query import Query, parse_tenant
from slipstream.edge.redeem import redeem, ticket_in_url
from slipstream.edge.services import SERVICES, Services
from slipstream.edge.shedding import check_can_read
from slipstream.edge.trace import trace_of
from slipstream.protocol.errors import Code, SlipstreamError, quoted
from slipstream.protocol.topic import Filters
from slipstream.resilience.context import TENANT, TRACE_ID
from slipstream.tenants.model import Tenant

Right = Literal["subscribe", "publish", "admin"]

SUBSCRIBE: Final[Right] = "subscribe"
PUBLISH: Final[Right] = "publish"
ADMIN: Final[Right] = "admin"

URL_PARAMETER: Final = "access_token"
"""RFC 6750 section 2.3, which also says why not: URLs are kept by browsers, proxies and their logs."""

INVALID_TOKEN = web.RequestKey("invalid_token", bool)
"""Set where a token came and was refused: the challenge then says so (RFC 6750 section 3)."""

URL_ALONE = web.RequestKey("url_alone", bool)
"""Set where the only token came in the URL, and its tenant takes none from there."""

CREDENTIAL = web.RequestKey("credential", str)
"""The token's text, once it was verified: for the tenant's authorizer, and for nothing that is logged or kept."""


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
        if not filters.covered_by(self.subscribe):
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
        return _named(request, _anonymous(request, services, right))
    text = await _credential(request, services, right)
    _check_loaded(services)
    try:
        token = await services.verifier.verify(text, time.time())
    except SlipstreamError as error:
        if error.code in (Code.UNAUTHORIZED, Code.TOKEN_EXPIRED):
            request[INVALID_TOKEN] = True
        raise
    if URL_ALONE in request:
        raise no_token()
    request[CREDENTIAL] = text
    grant = _named(request, _grant(request, services, token, right))
    if right == ADMIN:
        # What it looks at or ends is the whole tenant's; readers and publishers ask with their topics (`consult`).
        await consult(request, grant, right, ())
        confirm(request, grant)
    return grant


def confirm(request: web.Request, grant: Grant) -> None:
    """Where something was awaited since `authorize`: the tenant may be gone, the token have ended or been revoked.

    Raises UNAUTHORIZED, TOKEN_EXPIRED, or what `tenant_named` does.
    """
    services = request.app[SERVICES]
    tenant_named(services, grant.tenant.name)
    if grant.token is None:
        return
    try:
        check_still_good(services, grant.token)
    except SlipstreamError:
        request[INVALID_TOKEN] = True
        raise


def check_still_good(services: Services, token: Token) -> None:
    """As `confirm`, for a token that was verified without a request. Raises UNAUTHORIZED or TOKEN_EXPIRED."""
    if services.revocations.revoked(token):
        refuse_revoked()
    if token.expires_at <= time.time():
        refuse_expired()


async def consult(request: web.Request, grant: Grant, right: Right, topics: Iterable[str]) -> None:
    """Ask the tenant's authorizer, where it has one: after what the token says, before anything is done.

    topics: all that the request is for. Raises FORBIDDEN, or UPSTREAM_UNAVAILABLE where the authorizer does not answer.
    """
    if grant.token is not None:
        await check_permitted(request.app[SERVICES], grant.tenant, grant.token, request[CREDENTIAL], right, topics)


async def check_permitted(
    services: Services, tenant: Tenant, token: Token, text: str, right: Right, topics: Iterable[str]
) -> None:
    """As `consult`, for a token that was verified without a request. text: as it came."""
    authorizer = tenant.spec.authorizer
    if authorizer is None:
        return
    question = Question(tenant.name, token.subject, right, tuple(sorted(set(topics))))
    if not await services.authorizers.allow(authorizer, question, token, text):
        raise forbidden()


def tenant_named(services: Services, name: str) -> Tenant:
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


def no_token() -> SlipstreamError:
    """What is said where no token came that counts."""
    return SlipstreamError(
        Code.UNAUTHORIZED,
        "there is no token: send Authorization: Bearer TOKEN; one in the URL counts only where the tenant allows it",
    )


def _foreign_cookie() -> SlipstreamError:
    return SlipstreamError(
        Code.UNAUTHORIZED,
        f"the cookie {COOKIE} does not count, as nothing shows that a page of this site asks: a program sends"
        " Authorization: Bearer TOKEN; a page of another site names its ?tenant=, in whose spec.cors.origins it stands,"
        " with credentials, or gets a ticket (POST /v1/tickets)",
    )


def forbidden() -> SlipstreamError:
    """The one answer to an unknown tenant, an unknown topic and a missing permission."""
    return SlipstreamError(
        Code.FORBIDDEN, "the token is not for this: check its tenant, its scope and its topics against the request"
    )


def _named(request: web.Request, grant: Grant) -> Grant:
    """From here on the lines that this request logs name its tenant and its trace."""
    TENANT.set(grant.tenant.name)
    TRACE_ID.set(trace_of(request).trace_id)
    return grant


def _anonymous(request: web.Request, services: Services, right: Right) -> Grant:
    name = parse_tenant(request.query, request.headers)
    if name is None:
        raise SlipstreamError(Code.BAD_REQUEST, "say which tenant: ?tenant=NAME or the header X-Tenant-ID")
    scopes = services.options.anonymous_scopes
    if right not in scopes:
        raise SlipstreamError(
            Code.FORBIDDEN,
            f"nobody has the scope {right} here: SLIPSTREAM_ANONYMOUS_SCOPES leaves it out",
            fix=f"Add {right} to SLIPSTREAM_ANONYMOUS_SCOPES, or turn tokens on (SLIPSTREAM_AUTH=jwt).",
        )
    return Grant(tenant_named(services, name), scopes)


def _grant(request: web.Request, services: Services, token: Token, right: Right) -> Grant:
    named = parse_tenant(request.query, request.headers)
    tenant = tenant_named(services, token.tenant)
    if named not in (None, token.tenant) or right not in token.scopes:
        raise forbidden()
    return Grant(tenant, token.scopes, token.subscribe, token.publish, token)


async def _credential(request: web.Request, services: Services, right: Right) -> str:
    """The token that came with the request. What the caller put there goes before what a browser adds by itself.

    A ticket is for one stream or one page of events, so nothing else spends it; spent, it does not stand in the way of
    the cookie: a browser comes back to the same URL.

    Raises UNAUTHORIZED where there is none, BAD_REQUEST for two, UPSTREAM_UNAVAILABLE where a ticket cannot be spent.
    """
    if (given := bearer(request)) is not None:
        return given
    in_url = request.query.getall(URL_PARAMETER, ())
    if len(in_url) > 1:
        raise SlipstreamError(Code.BAD_REQUEST, f"the parameter {URL_PARAMETER} is repeated: send it once")
    if in_url and in_url[0] and _takes_urls(request, services, in_url[0]):
        return in_url[0]
    ticket = ticket_in_url(request) if right == SUBSCRIBE and request.method == "GET" else ""
    if ticket:
        # Before it is spent: it would be lost on an answer that is no stream.
        _check_loaded(services)
        check_can_read(services)
        redeemed = await redeem(request, ticket)
        if redeemed is not None:
            return redeemed
    cookie = request.cookies.get(COOKIE)
    if cookie and cookie_counts(request):
        return cookie
    if in_url and in_url[0]:
        # It will not count, but is checked as if it did: else strangers learn which tenants there are that allow it.
        request[URL_ALONE] = True
        return in_url[0]
    if ticket:
        request[INVALID_TOKEN] = True
        raise SlipstreamError(Code.UNAUTHORIZED, "the ticket is spent, too old or none of ours: get a new one")
    raise _foreign_cookie() if cookie else no_token()


def bearer(request: web.Request) -> str | None:
    """The token in the header Authorization (RFC 6750 section 2.1), None where there is none, or an empty one.

    Raises UNAUTHORIZED for another scheme, BAD_REQUEST for two.
    """
    given = request.headers.getall("Authorization", ())
    if len(given) > 1:
        raise SlipstreamError(Code.BAD_REQUEST, "the header Authorization is repeated: send it once")
    if not given or not given[0].strip():
        return None
    scheme, _, text = given[0].strip().partition(" ")
    if scheme.lower() != "bearer" or not text.strip():
        raise SlipstreamError(Code.UNAUTHORIZED, "send Authorization: Bearer TOKEN")
    return text.strip()


def _takes_urls(request: web.Request, services: Services, text: str) -> bool:
    """Whether the tenant that a token names takes it from the URL."""
    try:
        tenant = services.registry.get(peek(text).tenant)
    except SlipstreamError:
        request[INVALID_TOKEN] = True
        raise
    return tenant is not None and tenant.spec.access_token_in_url


def _check_loaded(services: Services) -> None:
    """Raises UPSTREAM_UNAVAILABLE while there is no telling what a token allows."""
    if not services.registry.loaded:
        raise _not_loaded()
    if not services.revocations.loaded:
        # Who was revoked is not to get in by asking a process that does not know it yet.
        raise _not_loaded("revocations")


def _not_loaded(what: str = "tenants") -> SlipstreamError:
    return SlipstreamError(Code.UPSTREAM_UNAVAILABLE, f"the {what} are not loaded yet", retry_after=1.0)
