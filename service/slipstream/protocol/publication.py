"""An event on its way in, checked by the contract's rules before anything is sent; the same from every road."""

from typing import Final, NamedTuple

from slipstream.protocol.errors import Code, SlipstreamError, quoted
from slipstream.protocol.event import check_event_name, check_key
from slipstream.protocol.message_id import message_id
from slipstream.protocol.raw_json import Members, NotJson, Raw, parse_object
from slipstream.protocol.topic import check_topic

FIELDS: Final = ("topic", "event", "data", "id", "key")
"""What an event may have as a JSON object; `topic` and `data` it must."""

_ID_MAX: Final = 256


class Publication(NamedTuple):
    """What is published. event: "" is the default name. id: the producer's own, of which `message_id` was made.

    message_id: makes a retry within 120 s safe; None where the producer gave no id.
    """

    topic: str
    data: bytes
    event: str = ""
    key: str | None = None
    message_id: str | None = None
    id: str | None = None


def publication(
    topic: str,
    data: bytes,
    *,
    limit: int,
    event: str = "",
    id_: str | None = None,
    scope: str | None = None,
    key: str | None = None,
) -> Publication:
    """A checked event. limit: most bytes of data. scope: within what the id is unique; None means the topic.

    Raises SlipstreamError BAD_REQUEST saying what is wrong, with status 413 for too much data.
    """
    check_topic(topic)
    check_event_name(event)
    if key is not None:
        check_key(key)
    for name, text in (("event", event), ("key", key)):
        # They travel as NATS headers, which lose the spaces around them: " error" would arrive as "error".
        if text is not None and text != text.strip():
            raise _wrong(f"{name} has spaces around it: send it without")
    if id_ is not None and len(id_) > _ID_MAX:
        raise _wrong(f"an id has at most {_ID_MAX} characters")
    identity = None if id_ is None else message_id(topic if scope is None else scope, id_)
    if len(data) > limit:
        raise SlipstreamError(
            Code.BAD_REQUEST, f"the data has {len(data)} bytes, at most {limit} are allowed", status=413
        )
    if not data.isascii():
        try:
            data.decode()
        except UnicodeDecodeError as error:
            raise _wrong(
                f"the data is not UTF-8 at byte {error.start}: publish text, or bytes as base64 inside it"
            ) from error
    return Publication(topic, data, event, key, identity, id_)


def parse_publication(line: bytes, limit: int, id_: str | None = None) -> Publication:
    """The event of one JSON object, as in a line of NDJSON; see `read_publication`."""
    return read_publication(parse_members(line), limit, id_)


def read_publication(members: Members, limit: int, id_: str | None = None) -> Publication:
    """The event of one JSON object, `{topic, event?, data, id?, key?}`; null is as good as absent, but for `data`.

    A string as `data` is sent as it is, anything else as compact JSON in the producer's own spelling. id_: the id of an
    event that has none itself. Raises SlipstreamError BAD_REQUEST.
    """
    fields = unrepeated(members)
    if unknown := sorted(fields.keys() - set(FIELDS)):
        raise _wrong(f"{quoted(unknown[0])} is not a field of an event: those are {', '.join(FIELDS)}")
    if "data" not in fields:
        raise _wrong("data is missing: send a string as it is, anything else as JSON")
    topic = text_of(fields, "topic")
    if topic is None:
        raise _wrong("topic is missing")
    event = fields.get("event")
    data = fields["data"]
    own = text_of(fields, "id")
    return publication(
        topic,
        utf8(data.value, "data") if isinstance(data.value, str) else utf8(data.compact, "data"),
        limit=limit,
        event="" if event is not None and event.value == "" else text_of(fields, "event") or "",
        id_=id_ if own is None else own,
        key=text_of(fields, "key"),
    )


def parse_members(text: bytes) -> Members:
    """The members of one JSON object. Raises SlipstreamError BAD_REQUEST."""
    try:
        return parse_object(utf8_text(text))
    except NotJson as error:
        raise _wrong(f"not JSON: {error}") from error


def unrepeated(members: Members) -> dict[str, Raw]:
    """The members by name. Raises BAD_REQUEST for a name that comes twice: which one was meant is anybody's guess."""
    fields: dict[str, Raw] = {}
    for name, value in members:
        if name in fields:
            raise _wrong(f"{quoted(name)} is repeated: send it once")
        fields[name] = value
    return fields


def text_of(fields: dict[str, Raw], name: str) -> str | None:
    """A text that is not empty, None where it is absent or null. Raises BAD_REQUEST for anything else."""
    value = fields[name].value if name in fields else None
    if value is None or (isinstance(value, str) and value):
        return value
    raise _wrong(f"{name} is a text that is not empty")


def utf8(text: str, name: str) -> bytes:
    """The text as UTF-8. Raises BAD_REQUEST, naming the field, for half a surrogate pair, which has none."""
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise _wrong(f"{name} is not text: it has half a surrogate pair, which has no UTF-8") from error


def utf8_text(data: bytes) -> str:
    """The text of JSON (RFC 8259 section 8.1: UTF-8). Raises BAD_REQUEST."""
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise _wrong(f"not JSON: it is not UTF-8 at byte {error.start}") from error


def _wrong(message: str) -> SlipstreamError:
    return SlipstreamError(Code.BAD_REQUEST, message)
