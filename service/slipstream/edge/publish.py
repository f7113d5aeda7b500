"""POST /v1/events: one event in, answered after JetStream's ack."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import orjson
from aiohttp import web

from slipstream.edge.authorize import authorize
from slipstream.edge.problems import common_headers
from slipstream.edge.services import SERVICES
from slipstream.edge.subscribe import admit
from slipstream.edge.trace import trace_of
from slipstream.protocol.errors import Code, SlipstreamError, quoted
from slipstream.protocol.event import check_event_name, check_key
from slipstream.protocol.message_id import message_id
from slipstream.protocol.position import Position
from slipstream.protocol.topic import check_topic

ENVELOPE_BYTES: Final = 64 * 1024
"""What a body may have beside its event: JSON escapes at most double ordinary text, names are short."""

_FIELDS: Final = frozenset({"topic", "event", "data", "id", "key"})
_ID_MAX: Final = 256


async def publish(request: web.Request) -> web.StreamResponse:
    """Store one event."""
    services = request.app[SERVICES]
    tenant = authorize(request)
    if services.draining:
        admit(services)
    body = await _body(request, services.options.body_deadline, services.event_bytes(tenant))
    keys = request.headers.getall("Idempotency-Key", ())
    if len(keys) > 1:
        raise SlipstreamError(Code.BAD_REQUEST, "the header Idempotency-Key is repeated: send it once")
    topic, event, data, key, identity = _parse(body, keys[0] if keys else None)
    if len(data) > services.event_bytes(tenant):
        raise SlipstreamError(
            Code.BAD_REQUEST,
            f"the event has {len(data)} bytes, at most {services.event_bytes(tenant)} are allowed",
            status=413,
        )
    stored = await services.store.publish(
        tenant.name,
        topic,
        data,
        event=event,
        key=key,
        message_id=None if identity is None else message_id(topic, identity),
        traceparent=trace_of(request).header,
    )
    document = {
        "position": str(Position(stored.epoch, stored.seq)),
        "seq": stored.seq,
        "duplicate": stored.duplicate,
    }
    headers = {"Content-Type": "application/json", "Cache-Control": "no-store", **common_headers(request)}
    return web.Response(body=orjson.dumps(document), headers=headers)


async def _body(request: web.Request, deadline: float, event_bytes: int) -> bytes:
    if request.content_type != "application/json":
        raise SlipstreamError(
            Code.BAD_REQUEST, f"the body is application/json, not {quoted(request.content_type)}", status=415
        )
    if "Content-Encoding" in request.headers:
        raise SlipstreamError(Code.BAD_REQUEST, "send the body without Content-Encoding", status=415)
    most = 2 * event_bytes + ENVELOPE_BYTES
    found = bytearray()
    try:
        async with asyncio.timeout(deadline):
            async for part in request.content.iter_any():
                found += part
                if len(found) > most:
                    raise SlipstreamError(
                        Code.BAD_REQUEST, f"the body is larger than {most} bytes: send smaller events", status=413
                    )
    except TimeoutError as error:
        raise SlipstreamError(
            Code.TIMEOUT, f"the body was not complete after {deadline:g} s", status=408, retry_after=1.0
        ) from error
    return bytes(found)


def _parse(body: bytes, idempotency_key: str | None) -> tuple[str, str, bytes, str | None, str | None]:
    """Topic, event name, data, key and id of the one event in `body`. Raises BAD_REQUEST naming what is wrong."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise SlipstreamError(Code.BAD_REQUEST, f"the body is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise SlipstreamError(Code.BAD_REQUEST, "the body is one JSON object with topic and data")
    unknown = sorted(document.keys() - _FIELDS)
    if unknown:
        raise SlipstreamError(
            Code.BAD_REQUEST, f"{quoted(unknown[0])} is not a field of an event: those are {', '.join(sorted(_FIELDS))}"
        )
    if "data" not in document:
        raise SlipstreamError(Code.BAD_REQUEST, "data is missing: send a string as it is, anything else as JSON")
    topic = check_topic(_text(document, "topic", required=True) or "")
    event = check_event_name(_header(document, "event") or "")
    key = _header(document, "key")
    identity = _text(document, "id")
    if identity and idempotency_key and identity != idempotency_key:
        raise SlipstreamError(Code.BAD_REQUEST, "the field id and the header Idempotency-Key differ: send one of them")
    identity = identity or idempotency_key
    if identity is not None and len(identity) > _ID_MAX:
        raise SlipstreamError(Code.BAD_REQUEST, f"an id has at most {_ID_MAX} characters")
    return topic, event, _data(document["data"]), None if key is None else check_key(key), identity


def _data(value: Any) -> bytes:
    if isinstance(value, str):
        return value.encode()
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError as error:
        # It reads deeper documents than it writes (1,024 levels and 254).
        raise SlipstreamError(Code.BAD_REQUEST, "data is nested too deeply: send it as a string") from error


def _header(document: dict[str, Any], name: str) -> str | None:
    """A text that travels as a NATS header, which would lose the spaces around it: " error" would arrive as "error"."""
    value = _text(document, name)
    if value is not None and value != value.strip():
        raise SlipstreamError(Code.BAD_REQUEST, f"{name} has spaces around it: send it without")
    return value


def _text(document: dict[str, Any], name: str, *, required: bool = False) -> str | None:
    value = document.get(name)
    if value is None:
        if required:
            raise SlipstreamError(Code.BAD_REQUEST, f"{name} is missing")
        return None
    if not isinstance(value, str) or (not value and name != "event"):
        raise SlipstreamError(Code.BAD_REQUEST, f"{name} is a text that is not empty")
    return value
