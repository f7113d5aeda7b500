"""Records: an event as it lies in the log, checked once on its way in."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from slipstream.protocol.errors import Code, SlipstreamError, quoted
from slipstream.protocol.topic import check_topic

_NAME_MAX: Final = 128
_KEY_MAX: Final = 256
_RECORD_WEIGHT: Final = 300
"""About what CPython takes for a record and its frame besides data and topic, in bytes."""

_RESERVED: Final = frozenset({"error", "open", "message"})
# C0, DEL and C1 (NEL too); lone surrogates, which have no UTF-8 and would fail only when a frame is made. None of them
# is printable, so str.isprintable, which is quicker, goes first.
_UNPRINTABLE: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_TRACEPARENT: Final = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


@dataclass(slots=True, eq=True)
class Record:
    """One stored event.

    seq: the stream sequence.
    time_ms: when JetStream stored it, milliseconds since 1970.
    event: the event's name; "" is the default, `message`.
    data: UTF-8.
    key: the producer's business id.
    traceparent: W3C Trace Context of the publish, valid or None.
    fault: why it cannot be delivered, one sentence. Such a record keeps its place in the log, has no data, and is
        told as a gap.
    frame: its encoding for most readers, once somebody has made it, so that nobody makes it twice.
    frames: its encodings for readers to whom it looks otherwise, by their look (`slipstream.shape`).
    shaped: what a chain of hooks in another process made of it, an Outcome (`slipstream.shape`) for each set of scopes;
        None where no such chain has seen it. shaped_bytes: what that weighs.
    """

    seq: int
    time_ms: int
    topic: str
    event: str
    data: bytes
    key: str | None = None
    traceparent: str | None = None
    fault: str | None = None
    frame: bytes | None = field(default=None, compare=False, repr=False)
    frames: dict[object, bytes] | None = field(default=None, compare=False, repr=False)
    shaped: dict[frozenset[str], object] | None = field(default=None, compare=False, repr=False)
    shaped_bytes: int = field(default=0, compare=False, repr=False)

    @property
    def size(self) -> int:
        """The bytes it weighs in a ring: its data twice, because the frame that will be kept beside it has them too."""
        return 2 * len(self.data) + self.shaped_bytes + len(self.topic) + _RECORD_WEIGHT


def make_record(
    seq: int, time_ms: int, topic: str, headers: Mapping[str, str] | None, payload: bytes, max_bytes: int
) -> Record:
    """A record of a stored message. Never raises: what cannot be delivered becomes a record with a fault.

    headers: the message's, of which `Sse-Event`, `Sse-Key` and `traceparent` are read; names are case-sensitive in
        NATS (ADR-4). An empty value is an absent one; a malformed traceparent is ignored (W3C Trace Context 3.2.2).
    max_bytes: most bytes of a payload.
    """
    event, key, traceparent = "", None, None
    try:
        if headers:
            traceparent = headers.get("traceparent")
            if traceparent is not None and not _TRACEPARENT.fullmatch(traceparent):
                traceparent = None
            event = check_event_name(headers.get("Sse-Event", ""))
            key = headers.get("Sse-Key") or None
            if key:
                check_key(key)
        check_topic(topic)
        fault = _payload_fault(payload, max_bytes)
    except SlipstreamError as error:
        fault = error.message
    if fault:
        return Record(seq, time_ms, topic, "", b"", traceparent=traceparent, fault=fault)
    return Record(seq, time_ms, topic, event, payload, key, traceparent)


def check_event_name(name: str) -> str:
    """Return the name if a producer may use it; "" is the default event.

    `stream.*`, `error`, `open` and `message` are Slipstream's or the browser's own. Raises SlipstreamError
    BAD_REQUEST.
    """
    if not name:
        return name
    if len(name) > _NAME_MAX:
        what = f"it has {len(name)} characters, at most {_NAME_MAX} are allowed"
    elif not name.isprintable() and _UNPRINTABLE.search(name):
        what = "it has a control character or half a surrogate pair"
    elif name in _RESERVED or name.startswith("stream."):
        what = "stream.*, error, open and message are reserved, choose another"
    else:
        return name
    raise SlipstreamError(Code.BAD_REQUEST, f"{quoted(name)} cannot be an event's name: {what}.")


def check_key(key: str) -> str:
    """Return the key if it is 1 to 256 characters without control characters. Raises SlipstreamError BAD_REQUEST."""
    if not 1 <= len(key) <= _KEY_MAX:
        what = f"it has {len(key)} characters, 1 to {_KEY_MAX} are allowed"
    elif not key.isprintable() and _UNPRINTABLE.search(key):
        what = "it has a control character or half a surrogate pair"
    else:
        return key
    raise SlipstreamError(Code.BAD_REQUEST, f"{quoted(key)} cannot be an event's key: {what}.")


def _payload_fault(payload: bytes, max_bytes: int) -> str | None:
    if len(payload) > max_bytes:
        return f"The data has {len(payload)} bytes, at most {max_bytes} are allowed: publish a smaller event."
    if payload.isascii():
        return None
    try:
        payload.decode()
    except UnicodeDecodeError as error:
        return f"The data is not UTF-8 at byte {error.start}: publish text, or bytes as base64."
    return None
