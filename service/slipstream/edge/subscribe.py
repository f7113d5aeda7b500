"""GET /v1/events: who asks, for what, from where on; then the socket is handed over and this is done."""

from __future__ import annotations

import time

from aiohttp import web

from slipstream.auth.claims import Token
from slipstream.edge.address import FORWARDED, client_address
from slipstream.edge.admission import Place
from slipstream.edge.answers import stream_headers
from slipstream.edge.authorize import SUBSCRIBE, Grant, authorize, confirm, consult
from slipstream.edge.handoff import HandedOff, chunks, detach, head, quiet
from slipstream.edge.query import accepts_gzip, parse_query
from slipstream.edge.retry import agree, retry_ms
from slipstream.edge.services import SERVICES
from slipstream.edge.sessions import Session
from slipstream.edge.shedding import check_can_read
from slipstream.edge.trace import trace_of
from slipstream.fanout.audience import View
from slipstream.fanout.compression import GZIP_HEADER, stored
from slipstream.fanout.connection import Lifetime
from slipstream.fanout.hub import Following
from slipstream.fanout.start import Start, replaced, start
from slipstream.protocol import control
from slipstream.protocol.errors import Code
from slipstream.protocol.frame import chunk, retry


async def subscribe(request: web.Request) -> web.StreamResponse:
    """Open a stream."""
    services = request.app[SERVICES]
    grant = await authorize(request, SUBSCRIBE)
    tenant = grant.tenant
    agree(request, tenant)
    query = parse_query(request.query, request.headers)
    filters = grant.filters(query, services.topics_per_stream(tenant))
    check_can_read(services)
    await consult(request, grant, SUBSCRIBE, filters.texts)
    async with (
        services.admission.enter(tenant, grant.subject, address_of(request)) as place,
        services.hub.hold(tenant.name) as following,
    ):
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
        look = following.tail.shaper.look(grant.scopes, envelope=query.envelope)
        view = View(filters, chunks(request), query.heartbeat_event, gzip, look)
        try:
            await _hand_over(request, grant, place, following, begun, view)
        except BaseException:
            if begun.snapshot is not None:
                await begun.snapshot.aclose()
            raise
    return HandedOff()


async def describe(request: web.Request) -> web.StreamResponse:
    """HEAD /v1/events: the headers a stream would have, and no stream."""
    grant = await authorize(request, SUBSCRIBE)
    agree(request, grant.tenant)
    limit = request.app[SERVICES].topics_per_stream(grant.tenant)
    filters = grant.filters(parse_query(request.query, request.headers), limit)
    await consult(request, grant, SUBSCRIBE, filters.texts)
    return web.Response(headers=stream_headers(request))


def address_of(request: web.Request) -> str:
    """The client's address, behind our own proxies; "" where there is none."""
    trusted = request.app[SERVICES].options.trusted_proxies
    return client_address(request.remote, request.headers.getall(FORWARDED, ()), trusted)


async def _hand_over(
    request: web.Request, grant: Grant, place: Place, following: Following, begun: Start, view: View
) -> None:
    services = request.app[SERVICES]
    options, hub = services.options, services.hub
    number = hub.number()
    coding = {"Content-Encoding": "gzip"} if view.gzip else {}
    opening = head({**stream_headers(request), **coding}, chunked=view.chunked)
    opening += _first(request, grant, f"{services.process}.{number}", begun, view)
    await quiet(request)
    # Whatever was true before the waits may be no longer; behind these lines nothing is awaited.
    check_can_read(services)
    confirm(request, grant)
    if following.tail.incarnation != begun.incarnation:
        raise replaced()
    fd = detach(request, sndbuf=options.sndbuf, heartbeat=options.heartbeat, write_deadline=options.write_deadline)
    lifetime = None if grant.token is None else lifetime_of(grant.token, trace_of(request).trace_id)
    connection = hub.admit(following, fd, number, view, begun, opening, lifetime=lifetime)
    if connection.open:
        services.sessions.open(Session(connection, grant.token, place, opened_at=int(time.time())))


def _first(request: web.Request, grant: Grant, stream: str, begun: Start, view: View) -> bytes:
    options = request.app[SERVICES].options
    block = retry(retry_ms(request)) + control.ready(
        begun.place,
        stream=stream,
        tenant=grant.tenant.name,
        topics=view.filters.texts,
        heartbeat_ms=int(options.heartbeat * 1000),
        expires_at=None if grant.token is None else grant.token.expires_at,
    )
    if begun.gap is not None:
        block += control.gap(begun.place, begun.gap)
    if view.gzip:
        block = GZIP_HEADER + stored(block)
    return chunk(block) if view.chunked else block


def lifetime_of(token: Token, trace_id: str | None) -> Lifetime:
    """The end of the stream is that of its token, and told in time to get another one."""
    final = control.error(
        Code.TOKEN_EXPIRED,
        "the token has expired: get a new one, and connect again with the last event id",
        False,
        trace_id,
    )
    return Lifetime(token.renew_at, token.expires_at, control.expiring(token.expires_at), final)


def _now_ms() -> int:
    return int(time.time() * 1000)
