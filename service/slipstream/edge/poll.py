"""GET /v1/poll: the same events by question and answer, for clients that cannot hold a stream."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from aiohttp import web

from slipstream.edge.answers import answered
from slipstream.edge.authorize import SUBSCRIBE, authorize, confirm, consult
from slipstream.edge.query import parse_poll, parse_query
from slipstream.edge.retry import agree
from slipstream.edge.services import SERVICES, Services
from slipstream.edge.shedding import check_can_read
from slipstream.edge.subscribe import address_of
from slipstream.fanout.encode import enveloped
from slipstream.fanout.page import Patience, page
from slipstream.fanout.start import start
from slipstream.protocol.timestamp import rfc3339


async def poll(request: web.Request) -> web.StreamResponse:
    """One page of events."""
    services = request.app[SERVICES]
    grant = await authorize(request, SUBSCRIBE)
    tenant = grant.tenant
    agree(request, tenant)
    query = parse_query(request.query, request.headers)
    bounds = parse_poll(request.query)
    filters = grant.filters(query, services.topics_per_stream(tenant))
    check_can_read(services)
    await consult(request, grant, SUBSCRIBE, filters.texts)
    async with (
        services.admission.enter(tenant, grant.subject, address_of(request)),
        services.hub.hold(tenant.name) as following,
    ):
        tail = following.tail
        begun = await start(
            query.wish,
            tail,
            following.source,
            services.hub.snapshots,
            filters,
            services.replay_events(tenant),
            int(time.time() * 1000),
            fresh=True,
        )
        look = tail.shaper.look(grant.scopes, envelope=query.envelope)
        with _patience(services, bounds.wait) as patience:
            found = await page(begun, tail, following.replay, filters, look, limit=bounds.limit, patience=patience)
        confirm(request, grant)
        document = {
            "events": [
                {
                    "id": event.id,
                    "topic": event.topic,
                    "event": event.event or "message",
                    "time": rfc3339(event.time_ms),
                    "data": (enveloped(tenant.name, event) if look.envelope else event.data).decode(),
                    **({} if event.signature is None else {"signature": event.signature}),
                }
                for event in found.events
            ],
            "cursor": str(found.place),
            "more": found.more,
            "gap": None if found.gap is None else found.gap.document(),
        }
    return answered(request, document)


@contextmanager
def _patience(services: Services, seconds: float) -> Iterator[Patience]:
    """What a drain ends when the poll's moment has come; nobody waits who has come too late for one."""
    patience = Patience(0.0 if services.draining else seconds)
    services.polls.add(patience)
    try:
        yield patience
    finally:
        services.polls.discard(patience)
