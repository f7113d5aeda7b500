"""An event on its way out, checked by the protocol's rules before anything is sent. Pure."""

from typing import Any, Final, NamedTuple

import orjson

from slipstream.protocol.errors import Code, SlipstreamError, quoted
from slipstream.protocol.event import check_event_name, check_key
from slipstream.protocol.message_id import message_id
from slipstream.protocol.topic import check_topic

_FIELDS: Final = ("topic", "event", "data", "id", "key")


class Outgoing(NamedTuple):
    """What is published. event: "" is the default name. message_id: makes a retry within 120 s safe; None without."""

    topic: str
    data: bytes
    event: str = ""
    key: str | None = None
    message_id: str | None = None


def outgoing(
    topic: str, data: bytes, *, limit: int, event: str = "", id_: str | None = None, key: str | None = None
) -> Outgoing:
    """A checked event. limit: most bytes of data. Raises SlipstreamError BAD_REQUEST saying what is wrong."""
    check_topic(topic)
    check_event_name(event)
    if key is not None:
        check_key(key)
    identity = None if id_ is None else message_id(topic, id_)
    if len(data) > limit:
        raise SlipstreamError(Code.BAD_REQUEST, f"the data has {len(data)} bytes, at most {limit} are allowed")
    try:
        data.decode()
    except UnicodeDecodeError as error:
        raise SlipstreamError(
            Code.BAD_REQUEST, f"the data is not UTF-8 at byte {error.start}: publish text, or bytes as base64"
        ) from error
    return Outgoing(topic, data, event, key, identity)


def parse_line(line: bytes, limit: int) -> Outgoing:
    """The event of one NDJSON line, `{topic, event?, data, id?, key?}`; data that is no string goes as compact JSON.

    Raises SlipstreamError BAD_REQUEST.
    """
    try:
        found = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise SlipstreamError(Code.BAD_REQUEST, f"not JSON: {error}") from error
    if not isinstance(found, dict):
        raise SlipstreamError(Code.BAD_REQUEST, "not an object; a line is {topic, event?, data, id?, key?}")
    if unknown := sorted(found.keys() - set(_FIELDS)):
        raise SlipstreamError(
            Code.BAD_REQUEST, f"{quoted(unknown[0])} is not a field of an event; those are {', '.join(_FIELDS)}"
        )
    for name in ("topic", "data"):
        if name not in found:
            raise SlipstreamError(Code.BAD_REQUEST, f"{name} is missing")
    data = found["data"]
    return outgoing(
        _text(found, "topic") or "",
        data.encode() if isinstance(data, str) else orjson.dumps(data),
        limit=limit,
        event=_text(found, "event") or "",
        id_=_text(found, "id"),
        key=_text(found, "key"),
    )


def _text(found: dict[str, Any], name: str) -> str | None:
    value = found.get(name)
    if value is None or isinstance(value, str):
        return value
    raise SlipstreamError(Code.BAD_REQUEST, f"{name} is not a text: put it into quotes")
