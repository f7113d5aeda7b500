"""Pages of other origins: who may read the answer to a request, decided before anything is done for it.

A browser keeps an answer without `Access-Control-Allow-Origin` from the page, but by then the server has opened a
stream or stored an event. So what a tenant does not allow is refused here, with 403.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from aiohttp import web
from aiohttp.typedefs import Handler

from slipstream.edge.query import parse_tenant
from slipstream.edge.services import SERVICES
from slipstream.protocol.errors import Code, SlipstreamError
from slipstream.tenants.cors import MAX_AGE
from slipstream.tenants.model import Tenant
from slipstream.tenants.origin import allowed, allowed_by_any, cookie_allowed, together, written_by_browser
from slipstream.tenants.registry import Registry

_EXPOSED: Final = "Retry-After, Idempotency-Support, traceparent, X-Retry-Policy, X-Retry-Backoff-Base"
"""What a page may read besides the headers that every page may (WHATWG Fetch, CORS-safelisted response header)."""

_REQUEST_HEADERS: Final = frozenset(
    {
        "authorization",
        "content-encoding",
        "content-type",
        "idempotency-key",
        "last-event-id",
        "retry-preferences",
        "traceparent",
        "x-tenant-id",
    }
)
_ATTRIBUTE: Final = re.compile(r"ce-[a-z0-9]{1,64}")  # CloudEvents HTTP binding 3.1.3

_ALLOW_ORIGIN: Final = "Have the origin listed in the tenant's spec.cors.origins, and name the tenant in the URL."

_NONE: Final[Mapping[str, str]] = MappingProxyType({})
# Nobody has to prove anything without authentication, so there is nothing that another origin could steal.
_ANYBODY: Final[Mapping[str, str]] = MappingProxyType(
    {"Access-Control-Allow-Origin": "*", "Access-Control-Expose-Headers": _EXPOSED}
)


class AllOrigins:
    """What all tenants together allow: made anew, when it is asked for, after the tenants have changed."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._snapshot: Mapping[str, Tenant] = {}
        self._known: Mapping[str, bool] = {}

    def allow(self, origin: str) -> bool | None:
        """None where no tenant allows `origin`, else whether one that does takes credentials."""
        snapshot = self._registry.snapshot
        if snapshot is not self._snapshot:
            rules = (tenant.spec.cors for tenant in snapshot.values())
            self._known = together(cors for cors in rules if cors is not None)
            self._snapshot = snapshot
        return allowed_by_any(origin, self._known)


class Decision(NamedTuple):
    """What the answer to a request says to a browser, whatever it is, and why nothing else is done, if so.

    max_age: seconds for which a browser may remember the answer to a preflight.
    """

    headers: Mapping[str, str]
    refusal: SlipstreamError | None = None
    max_age: int = MAX_AGE


ALL_ORIGINS = web.AppKey("all_origins", AllOrigins)
_DECISION = web.RequestKey("cors", Decision)


@web.middleware
async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Do nothing for a page whose origin is not allowed. Raises FORBIDDEN, BAD_REQUEST or UPSTREAM_UNAVAILABLE."""
    refusal = _decision(request).refusal
    if refusal is not None:
        raise refusal
    return await handler(request)


def cors_headers(request: web.Request) -> Mapping[str, str]:
    """The CORS headers of every answer to `request`, refusals too; none where its origin is not allowed."""
    return _decision(request).headers


def cookie_counts(request: web.Request) -> bool:
    """Whether a credential that came as a cookie counts, by the rules of the tenant that the request names."""
    try:
        name = parse_tenant(request.query, request.headers)
    except SlipstreamError:
        name = None  # whoever needs the tenant says what is wrong with it
    tenant = request.app[SERVICES].registry.get(name) if name else None
    cors = None if tenant is None else tenant.spec.cors
    return cookie_allowed(request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin"), cors)


def preflight_headers(request: web.Request) -> Mapping[str, str]:
    """What the answer to an OPTIONS request has besides: headers that may come, and for how long that holds."""
    decision = _decision(request)
    if not decision.headers:
        return _NONE
    wanted = (name.strip().lower() for name in request.headers.get("Access-Control-Request-Headers", "").split(","))
    granted = [name for name in wanted if name in _REQUEST_HEADERS or _ATTRIBUTE.fullmatch(name)]
    headers = {"Access-Control-Max-Age": str(decision.max_age)}
    if granted:
        headers["Access-Control-Allow-Headers"] = ", ".join(granted)
    return headers


def _decision(request: web.Request) -> Decision:
    decision = request.get(_DECISION)
    if decision is None:
        decision = _decide(request)
        request[_DECISION] = decision
    return decision


def _decide(request: web.Request) -> Decision:
    """By the tenant that the request names by `X-Tenant-ID` or `tenant`.

    A token's own tenant does not count: what it is, only the work shows that an unwelcome page must not cause. A
    preflight comes without credentials and custom headers (WHATWG Fetch 4.8), so it can name its tenant by the
    parameter alone; without that the answer is whether any tenant allows the origin. Nothing is lost by that: a
    preflight gives nothing away, and the request that follows is decided exactly.
    """
    given = request.headers.getall("Origin", ())
    if not given:
        return Decision(_NONE)
    services, origin = request.app[SERVICES], given[0]
    otherwise = _ANYBODY if services.options.open else _NONE
    try:
        name = parse_tenant(request.query, request.headers)
    except SlipstreamError as error:
        return Decision(otherwise, error)
    if not services.registry.loaded:
        # This answer holds nothing of any tenant; unread, it would end an EventSource for good.
        headers = otherwise or (_shared(origin, credentials=True) if written_by_browser(origin) else _NONE)
        refusal = SlipstreamError(Code.UPSTREAM_UNAVAILABLE, "the tenants are not loaded yet", retry_after=1.0)
        return Decision(headers, refusal)
    tenant = services.registry.get(name) if name else None
    cors = tenant.spec.cors if tenant is not None else None
    if len(given) == 1:
        if cors is not None and allowed(origin, cors):
            return Decision(_shared(origin, credentials=cors.credentials), max_age=cors.max_age)
        if name is None and request.method == "OPTIONS":
            credentials = request.app[ALL_ORIGINS].allow(origin)
            if credentials is not None:
                return Decision(_shared(origin, credentials=credentials))
        if request.headers.get("Sec-Fetch-Site") == "same-origin":
            # Browsers send Origin with every POST; no page can forge where it comes from.
            return Decision(_NONE)
    if cors is None and otherwise:
        return Decision(otherwise)
    # One text for all causes: it must not say which tenants there are.
    text = "this origin may not: name the tenant (?tenant= or X-Tenant-ID) and list the origin in its spec.cors.origins"
    return Decision(_NONE, SlipstreamError(Code.FORBIDDEN, text, fix=_ALLOW_ORIGIN))


def _shared(origin: str, *, credentials: bool) -> Mapping[str, str]:
    headers = {"Access-Control-Allow-Origin": origin, "Access-Control-Expose-Headers": _EXPOSED}
    if credentials:
        headers["Access-Control-Allow-Credentials"] = "true"
    return headers
