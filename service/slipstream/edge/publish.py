"""POST /v1/events: events in, one or many, answered after JetStream's acks."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final

from aiohttp import web

from slipstream.edge.answers import answered
from slipstream.edge.authorize import PUBLISH, Grant, authorize, confirm, consult, forbidden
from slipstream.edge.body import expected_bytes, read_body
from slipstream.edge.problems import refuse
from slipstream.edge.publications import ACCEPTED, Item, Limits, read_publications
from slipstream.edge.retry import agree, unsafe
from slipstream.edge.services import SERVICES, Services
from slipstream.edge.shedding import check_can_store
from slipstream.edge.trace import trace_of
from slipstream.log.store import Outcome
from slipstream.protocol.errors import Code, SlipstreamError
from slipstream.protocol.position import Position
from slipstream.protocol.publication import Publication

ENVELOPE_BYTES: Final = 64 * 1024
"""What a body may have beside its one event: JSON escapes at most double ordinary text, names are short."""


async def publish(request: web.Request) -> web.StreamResponse:
    """Store the events of the body; who may publish is told whether the tenant wants ids (`Idempotency-Support`)."""
    services = request.app[SERVICES]
    grant = await authorize(request, PUBLISH)
    tenant = grant.tenant
    agree(request, tenant)
    try:
        answer = await _publish(request, services, grant)
    except SlipstreamError as error:
        answer = refuse(request, error)
        if error.status == HTTPStatus.UNSUPPORTED_MEDIA_TYPE:
            answer.headers["Accept-Post"] = ACCEPTED  # W3C Linked Data Platform 7.1
            answer.headers["Accept-Encoding"] = "gzip"  # RFC 9110 section 15.5.16
    if answer.status != HTTPStatus.FORBIDDEN:
        answer.headers["Idempotency-Support"] = tenant.spec.publish.idempotency
    return answer


async def _publish(request: web.Request, services: Services, grant: Grant) -> web.Response:
    tenant = grant.tenant
    check_can_store(services)
    options = services.options
    most = max(options.publish_bytes, 2 * services.event_bytes(tenant) + ENVELOPE_BYTES)
    with services.bodies.hold(tenant.name, expected_bytes(request, most)) as held:
        body = await read_body(request, most, options.body_deadline)
        held.shrink(len(body))
        return await _store(request, services, grant, body)


async def _store(request: web.Request, services: Services, grant: Grant, body: bytes) -> web.Response:
    tenant = grant.tenant
    limits = Limits(services.event_bytes(tenant), services.options.publish_events)
    items, single = await read_publications(request, body, limits)
    items = [_permitted(item, grant) for item in items]
    if tenant.spec.publish.idempotency == "required":
        items = [_identified(item) for item in items]
    good = [item for item in items if isinstance(item, Publication)]
    if good:
        await consult(request, grant, PUBLISH, (item.topic for item in good))
    confirm(request, grant)
    services.admission.publish(tenant, len(good))
    if not all(item.message_id for item in good):
        unsafe(request)
    stored = iter(await services.store.publish_many(tenant.name, good, trace_of(request).header))
    outcomes = [next(stored) if isinstance(item, Publication) else item for item in items]
    if single:
        (outcome,) = outcomes
        if isinstance(outcome, SlipstreamError):
            raise outcome
        return answered(request, _told(outcome))
    results = {"results": [_told(outcome) for outcome in outcomes]}
    cause = _one_cause(outcomes)
    return answered(request, results) if cause is None else refuse(request, cause, results)


def _permitted(item: Item, grant: Grant) -> Item:
    return forbidden() if isinstance(item, Publication) and not grant.may_publish(item.topic) else item


def _identified(item: Item) -> Item:
    if isinstance(item, Publication) and item.message_id is None:
        return SlipstreamError(
            Code.BAD_REQUEST,
            "this tenant wants every retry to be safe: give the event an id, or send the header Idempotency-Key",
            status=428,
        )
    return item


def _told(outcome: Outcome) -> dict[str, Any]:
    if isinstance(outcome, SlipstreamError):
        return {"error": {"code": outcome.code.value, "message": outcome.message}}
    return {
        "position": str(Position(outcome.epoch, outcome.seq)),
        "seq": outcome.seq,
        "duplicate": outcome.duplicate,
    }


def _one_cause(outcomes: list[Outcome]) -> SlipstreamError | None:
    """The first error where all failed alike; a client that looks at the status alone then knows what to do."""
    failed = [outcome for outcome in outcomes if isinstance(outcome, SlipstreamError)]
    causes = {(error.code, error.status) for error in failed}
    return failed[0] if len(failed) == len(outcomes) and len(causes) == 1 else None
