"""What a body of POST /v1/events holds: one event or many, in one of five forms."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple, TypeVar

from aiohttp import web

from slipstream.protocol import cloudevents
from slipstream.protocol.errors import Code, SlipstreamError, quoted
from slipstream.protocol.publication import Publication, parse_publication, read_publication, utf8_text
from slipstream.protocol.raw_json import Members, NotJson, parse_array

JSON: Final = "application/json"
NDJSON: Final = ("application/x-ndjson", "application/jsonl", "application/ndjson")
CLOUDEVENT: Final = "application/cloudevents+json"
CLOUDEVENTS: Final = "application/cloudevents-batch+json"
ACCEPTED: Final = ", ".join((JSON, *NDJSON, CLOUDEVENT, CLOUDEVENTS))

_CHARSETS: Final = ("utf-8", "utf8", "us-ascii")
_KEY_MAX: Final = 240
"""Characters of an Idempotency-Key: with an event's number behind it, it is still an id."""
_LINE: Final = re.compile(rb"[^ \t\r\n][^\n]*")
"""One that is not empty. Found one by one: four million empty ones would keep the loop for half a second."""
_SLICE_SECONDS: Final = 0.002

T = TypeVar("T")

Item = Publication | SlipstreamError
"""One event of a body, or what is wrong with it."""


class Limits(NamedTuple):
    """bytes: of one event's data. events: of one body."""

    bytes: int
    events: int


class Body(NamedTuple):
    """The events of a body in their order. single: they are one that stands alone, and is answered alone."""

    items: list[Item]
    single: bool


async def read_publications(request: web.Request, body: bytes, limits: Limits) -> Body:
    """The events of a body. Raises SlipstreamError where it is not to be read at all: 400, 413, 415.

    An `Idempotency-Key` is the id of one event; of many it makes the ids of those that have none, with their number.
    """
    key = _idempotency_key(request)
    kind = request.content_type
    if (request.charset or "utf-8").lower() not in _CHARSETS:
        raise SlipstreamError(Code.BAD_REQUEST, f"send UTF-8, not {quoted(request.charset or '')}", status=415)
    if kind == CLOUDEVENT:
        return _single(cloudevents.parse_event(body, limits.bytes), key)
    if kind == CLOUDEVENTS:
        return await _many(_elements(body, lambda members, _: cloudevents.read_event(members, limits.bytes)), limits)
    if any(name.lower().startswith(cloudevents.HEADER_PREFIX) for name in request.headers):
        return _single(cloudevents.read_headers(request.headers.items(), body, limits.bytes), key)
    if kind in NDJSON:
        return await _many(_lines(body, limits.bytes, key), limits)
    if kind != JSON:
        raise SlipstreamError(Code.BAD_REQUEST, f"the body is {ACCEPTED}; not {quoted(kind)}", status=415)
    start = body.lstrip(b" \t\r\n")[:1]
    if start == b"[":
        elements = _elements(
            body, lambda members, number: read_publication(members, limits.bytes, _numbered(key, number))
        )
        return await _many(elements, limits)
    if start != b"{":
        raise SlipstreamError(Code.BAD_REQUEST, "the body is one JSON object with topic and data, or an array of them")
    return _single(parse_publication(body, limits.bytes, key), key)


def _single(publication: Publication, key: str | None) -> Body:
    if key is not None and publication.id != key:
        raise SlipstreamError(
            Code.BAD_REQUEST, "the event's id and the header Idempotency-Key differ: send one of them"
        )
    return Body([publication], single=True)


async def _many(items: Iterator[Item], limits: Limits) -> Body:
    """All items, read in slices so that a large body does not keep the streams of this process waiting."""
    found: list[Item] = []
    sliced = time.monotonic()
    for item in items:
        if len(found) >= limits.events:
            raise SlipstreamError(
                Code.BAD_REQUEST, f"there are more than {limits.events} events: send fewer at a time", status=413
            )
        found.append(item)
        if time.monotonic() - sliced > _SLICE_SECONDS:
            await asyncio.sleep(0)
            sliced = time.monotonic()
    return Body(found, single=False)


def _elements(body: bytes, read: Callable[[Members, int], Publication]) -> Iterator[Item]:
    """Of an array. Raises BAD_REQUEST where it is none: what came before is then no event either."""
    try:
        for number, members in enumerate(parse_array(utf8_text(body))):
            if members is None:
                yield SlipstreamError(Code.BAD_REQUEST, "it is not an object")
            else:
                yield _read(read, members, number)
    except NotJson as error:
        raise SlipstreamError(Code.BAD_REQUEST, f"the body is not JSON: {error}") from error


def _lines(body: bytes, most: int, key: str | None) -> Iterator[Item]:
    """Of NDJSON; empty lines do not count."""
    for number, line in enumerate(_LINE.finditer(body)):
        yield _read(lambda line, number: parse_publication(line, most, _numbered(key, number)), line[0], number)


def _read(read: Callable[[T, int], Publication], source: T, number: int) -> Item:
    try:
        return read(source, number)
    except SlipstreamError as error:
        return error


def _numbered(key: str | None, number: int) -> str | None:
    """The id of an event of many. A NUL cannot stand in a header, so it is no other request's."""
    return None if key is None else f"{key}\0{number}"


def _idempotency_key(request: web.Request) -> str | None:
    keys = request.headers.getall("Idempotency-Key", ())
    if len(keys) > 1:
        raise SlipstreamError(Code.BAD_REQUEST, "the header Idempotency-Key is repeated: send it once")
    if not keys:
        return None
    if not keys[0] or len(keys[0]) > _KEY_MAX:
        raise SlipstreamError(Code.BAD_REQUEST, f"an Idempotency-Key has 1 to {_KEY_MAX} characters")
    return keys[0]
