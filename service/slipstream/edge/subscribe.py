"""GET /v1/events: who asks, for what, from where on; then the socket is handed over and this is done."""

from __future__ import annotations

import time

from aiohttp import web

from slipstream.edge.authorize import SUBSCRIBE, authorize, known
from slipstream.edge.handoff import HandedOff, chunks, detach, head, quiet
from slipstream.edge.problems import common_headers, jittered, stream_headers
from slipstream.edge.query import accepts_gzip, parse_query
from slipstream.edge.services import SERVICES, Services
from slipstream.fanout.audience import View
from slipstream.fanout.compression import GZIP_HEADER, stored
from slipstream.fanout.hub import Following
from slipstream.fanout.start import Start, start
from slipstream.protocol import control
from slipstream.protocol.errors import Code, SlipstreamError
from slipstream.protocol.frame import chunk, retry


async def subscribe(request: web.Request) -> web.StreamResponse:
    """Open a stream."""
    services = request.app[SERVICES]
    tenant, scopes = authorize(request, SUBSCRIBE)
    query = parse_query(request.query, request.headers)
    filters = query.filters(services.topics_per_stream(tenant))
    admit(services)
    async with services.hub.hold(tenant.name) as following:
        begun = await start(
            query.wish,
            following.tail,
            following.source,
            services.hub.snapshots,
            filters,
            services.replay_events(tenant),
            _now_ms(),
        )
        gzip = tenant.spec.compression != "none" and accepts_gzip(request.headers)
        look = following.tail.shaper.look(scopes, envelope=query.envelope)
        view = View(filters, chunks(request), query.heartbeat_event, gzip, look)
        try:
            await _hand_over(request, services, following, begun, view)
        except BaseException:
            if begun.snapshot is not None:
                await begun.snapshot.aclose()
            raise
    return HandedOff()


async def describe(request: web.Request) -> web.StreamResponse:
    """HEAD /v1/events: the headers a stream would have, and no stream."""
    tenant, _ = authorize(request, SUBSCRIBE)
    parse_query(request.query, request.headers).filters(request.app[SERVICES].topics_per_stream(tenant))
    return web.Response(headers=stream_headers(request))


async def preflight(request: web.Request) -> web.StreamResponse:
    """OPTIONS: which methods and headers a page of another origin may use."""
    headers = common_headers(request)
    if "Access-Control-Allow-Origin" in headers:
        headers["Access-Control-Allow-Methods"] = "GET, HEAD, POST, OPTIONS"
        headers["Access-Control-Allow-Headers"] = (
            "Content-Type, Last-Event-ID, X-Tenant-ID, Idempotency-Key, traceparent"
        )
        headers["Access-Control-Max-Age"] = "600"
    return web.Response(status=204, headers={"Allow": "GET, HEAD, POST, OPTIONS", **headers})


def admit(services: Services) -> None:
    """Refuse a reader that this process has no room for. Raises DRAINING or OVERLOADED."""
    if services.draining:
        raise SlipstreamError(Code.DRAINING, "this process is shutting down: connect again", retry_after=1.0)
    if len(services.hub.reactor) >= services.options.max_connections:
        raise SlipstreamError(
            Code.OVERLOADED,
            f"this process holds its {services.options.max_connections} streams already",
            retry_after=2.0,
        )


async def _hand_over(request: web.Request, services: Services, following: Following, begun: Start, view: View) -> None:
    options, hub = services.options, services.hub
    number = hub.number()
    coding = {"Content-Encoding": "gzip"} if view.gzip else {}
    opening = head({**stream_headers(request), **coding}, chunked=view.chunked)
    opening += _first(services, following.tail.tenant, f"{services.process}.{number}", begun, view)
    await quiet(request)
    # Whatever was true before the waits may be no longer; behind these lines nothing is awaited.
    admit(services)
    known(services, following.tail.tenant)
    if following.tail.incarnation != begun.incarnation:
        raise SlipstreamError(Code.UPSTREAM_UNAVAILABLE, "the stream was replaced meanwhile", retry_after=0.5)
    fd = detach(request, sndbuf=options.sndbuf, user_timeout_ms=int(options.heartbeat * 2000))
    hub.admit(following, fd, number, view, begun, opening)


def _first(services: Services, tenant: str, stream: str, begun: Start, view: View) -> bytes:
    options = services.options
    block = retry(jittered(options.retry_ms)) + control.ready(
        begun.place,
        stream=stream,
        tenant=tenant,
        topics=view.filters.texts,
        heartbeat_ms=int(options.heartbeat * 1000),
    )
    if begun.gap is not None:
        block += control.gap(begun.place, begun.gap)
    if view.gzip:
        block = GZIP_HEADER + stored(block)
    return chunk(block) if view.chunked else block


def _now_ms() -> int:
    return int(time.time() * 1000)
