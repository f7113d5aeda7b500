"""CloudEvents 1.0 in and out: `subject` is the topic, `type` the event's name, `data` the data.

Sources: CloudEvents JSON Event Format 1.0.2 and HTTP Protocol Binding 1.0.2. Attributes that have no place in an event
(`time`, `dataschema`, extensions) are read over. The type `message` stands for the default name in both directions:
a CloudEvent must have a type, and `message` is what an EventSource calls an event without a name.
"""

import base64
import binascii
import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import unquote

import orjson

from slipstream.protocol.errors import Code, SlipstreamError, quoted
from slipstream.protocol.publication import Publication, parse_members, publication, text_of, unrepeated, utf8
from slipstream.protocol.raw_json import Members, Raw, is_json
from slipstream.protocol.timestamp import rfc3339

SPECVERSION: Final = "1.0"
HEADER_PREFIX: Final = "ce-"
DEFAULT_TYPE: Final = "message"

_REQUIRED: Final = ("specversion", "id", "source", "type")
_QUOTED: Final = re.compile(r'"((?:[^"\\]|\\.)*)"')
_ESCAPED: Final = re.compile(r"\\(.)")


def parse_event(body: bytes, limit: int) -> Publication:
    """The event of one CloudEvent in JSON, `application/cloudevents+json`; see `read_event`."""
    return read_event(parse_members(body), limit)


def read_event(members: Members, limit: int) -> Publication:
    """The event of one CloudEvent in JSON (JSON format section 3). limit: most bytes of data.

    A string as `data` stays a JSON string, quotes and all, unless `datacontenttype` says that it is no JSON (section
    3.1.2): in binary mode the same event has the same bytes. Raises SlipstreamError BAD_REQUEST.
    """
    fields = unrepeated(members)
    attributes = {name: text_of(fields, name) for name in (*_REQUIRED, "subject", "datacontenttype")}
    return _event(attributes, _data(fields, attributes["datacontenttype"]), limit)


def read_headers(headers: Iterable[tuple[str, str]], body: bytes, limit: int) -> Publication:
    """The event of a CloudEvent in binary mode (HTTP binding section 3.1): attributes in `ce-*`, the body is the data.

    headers: as they came, in any case. Raises SlipstreamError BAD_REQUEST.
    """
    attributes: dict[str, str | None] = {}
    for header, text in headers:
        name = header.lower().removeprefix(HEADER_PREFIX)
        if name == header.lower():
            continue
        if name in attributes:
            raise _wrong(f"the header {quoted(header)} is repeated: send it once")
        attributes[name] = _decoded(header, text)
    return _event(attributes, body, limit)


def envelope(
    tenant: str,
    *,
    id_: str,
    topic: str,
    event: str,
    time_ms: int,
    data: bytes,
    signature: str | None = None,
) -> bytes:
    """An event as a CloudEvent in JSON, for readers who must know the topic.

    data: UTF-8; JSON goes in as it is spelled (`application/json`), all else as a string (`text/plain`). time_ms: when
    it was stored. signature: of the event, as the extension attribute of that name.
    """
    text = data.decode()
    json = is_json(text)
    attributes = {
        "specversion": SPECVERSION,
        "id": id_,
        "source": f"/tenants/{tenant}",
        "type": event or DEFAULT_TYPE,
        "subject": topic,
        "time": rfc3339(time_ms),
        "datacontenttype": "application/json" if json else "text/plain",
        **({} if signature is None else {"signature": signature}),
    }
    return b"".join((orjson.dumps(attributes)[:-1], b',"data":', data if json else orjson.dumps(text), b"}"))


def _event(attributes: dict[str, str | None], data: bytes, limit: int) -> Publication:
    for name in _REQUIRED:
        if not attributes.get(name):
            raise _wrong(f"{name} is missing: a CloudEvent has {', '.join(_REQUIRED)}")
    if attributes["specversion"] != SPECVERSION:
        raise _wrong(f"specversion {quoted(attributes['specversion'] or '')} is not known here: send {SPECVERSION}")
    topic = attributes.get("subject")
    if not topic:
        raise _wrong("subject is missing: it says the topic")
    kind = attributes["type"] or ""
    return publication(
        topic,
        data,
        limit=limit,
        event="" if kind == DEFAULT_TYPE else kind,
        id_=attributes["id"],
        scope=attributes["source"],
    )


def _data(fields: dict[str, Raw], content_type: str | None) -> bytes:
    data = fields.get("data")
    if "data_base64" in fields and (coded := _text_or_empty(fields, "data_base64")) is not None:
        if data is not None:
            raise _wrong("there are both data and data_base64: send one of them")
        try:
            return base64.b64decode(coded, validate=True)
        except (binascii.Error, ValueError) as error:
            raise _wrong(f"data_base64 is not base64: {error}") from error
    if data is None:
        return b""
    if _says_json(content_type):
        return utf8(data.compact, "data")
    if not isinstance(data.value, str):
        raise _wrong(f"data of type {quoted(content_type or '')} is a string; only JSON may be another value")
    return utf8(data.value, "data")


def _text_or_empty(fields: dict[str, Raw], name: str) -> str | None:
    """A text, empty or not; None for null. Raises BAD_REQUEST for anything else."""
    return "" if fields[name].value == "" else text_of(fields, name)


def _says_json(content_type: str | None) -> bool:
    """Whether a media type declares JSON: its subtype is `json` or ends with `+json`; none means JSON (3.1.1)."""
    if content_type is None:
        return True
    subtype = content_type.partition(";")[0].strip().lower().rpartition("/")[2]
    return subtype == "json" or subtype.endswith("+json")


def _decoded(header: str, text: str) -> str:
    """A header's value: out of its quotes, then percent-decoded once (HTTP binding section 3.1.3.2)."""
    text = text.strip()
    if match := _QUOTED.fullmatch(text):
        text = _ESCAPED.sub(r"\1", match[1])
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError as error:
        raise _wrong(f"the header {quoted(header)} is not percent-encoded UTF-8") from error


def _wrong(message: str) -> SlipstreamError:
    return SlipstreamError(Code.BAD_REQUEST, message)
