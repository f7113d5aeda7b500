"""What an edge and the child that runs a tenant's hooks say to each other: two lengths, a JSON head, bytes as they are.

Pure, and used by both sides. Nothing that comes from the child is believed: whatever is not exactly an answer to the
event that was asked about is Garbage. A frame is `!II` (bytes of head, bytes of body), the head, the body.

    to the child    {"tenant", "chain": [[name, config], ...], "budget_ms", "memory", "event_bytes"}    the plan, first
                    ["secret"]                                      body: the secret that was asked for
                    ["missing", message]                            instead of it
                    [number, id, topic, event, time_ms, signature]  body: the data
    from the child  ["secret", name]                                while it makes its chain
                    ["ready"]                                       when that is made
                    ["fault", message]                              instead of it; the child ends
                    [number, "kept", event, signature]              the data is what it was
                    [number, "changed", event, signature]           body: the new data
                    [number, "dropped"]
                    [number, "withheld", reason]
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import orjson

from slipstream.protocol.errors import SlipstreamError
from slipstream.protocol.event import check_event_name
from slipstream.shape.event import Dropped, Event, Outcome, Withheld
from slipstream.tenants.shaping import HookSpec

LENGTHS: Final = struct.Struct("!II")

_HEAD_BYTES: Final = 64 * 1_024
"""Of an answer: a signature has at most 16,384 characters (`shape.chain`), and as JSON takes twice that at most."""

_REASON_CHARS: Final = 200


class Garbage(Exception):
    """The child said something that is no answer to what it was asked; the message says what is wrong with it."""


class Frame(NamedTuple):
    """One frame: the decoded head and the body."""

    head: Any
    body: bytes


@dataclass(frozen=True, slots=True)
class Plan:
    """What a child is made with.

    chain: as the tenant document has it. budget_ms: what one event may take in the whole chain. memory: bytes of
    address space. event_bytes: the most data that a hook may make of an event.
    """

    tenant: str
    chain: tuple[HookSpec, ...]
    budget_ms: float = 50.0
    memory: int = 256 * 1_024 * 1_024
    event_bytes: int = 256 * 1_024

    def pack(self) -> bytes:
        """The plan as a frame."""
        return pack(
            {
                "tenant": self.tenant,
                "chain": [[spec.name, spec.config] for spec in self.chain],
                "budget_ms": self.budget_ms,
                "memory": self.memory,
                "event_bytes": self.event_bytes,
            }
        )

    @classmethod
    def unpack(cls, head: Any) -> Plan:
        """The plan that a frame's head is."""
        chain = tuple(HookSpec(name=name, config=config) for name, config in head.pop("chain"))
        return cls(chain=chain, **head)


def pack(head: Any, body: bytes = b"") -> bytes:
    """A frame. Raises orjson.JSONEncodeError (a TypeError) for a head that JSON cannot hold."""
    text = orjson.dumps(head)
    return b"".join((LENGTHS.pack(len(text), len(body)), text, body))


class Frames:
    """Cuts bytes as they arrive into frames. `body_bytes`: the largest body that is taken."""

    __slots__ = ("_body_bytes", "_buffer")

    def __init__(self, body_bytes: int) -> None:
        self._body_bytes = body_bytes
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Frame]:
        """The frames that are complete with `data`. Raises Garbage, before a frame that is too long is kept."""
        self._buffer += data
        buffer, at = self._buffer, 0
        try:
            while len(buffer) - at >= LENGTHS.size:
                head, body = LENGTHS.unpack_from(buffer, at)
                if head > _HEAD_BYTES or body > self._body_bytes:
                    raise Garbage(f"a frame of {head} and {body} bytes, at most {_HEAD_BYTES} and {self._body_bytes}")
                begin = at + LENGTHS.size
                end = begin + head + body
                if len(buffer) < end:
                    break
                at = end
                try:
                    decoded = orjson.loads(buffer[begin : begin + head])
                except orjson.JSONDecodeError as error:
                    raise Garbage(f"a head that is no JSON: {error}") from error
                yield Frame(decoded, bytes(buffer[begin + head : end]))
        finally:
            del buffer[:at]


def ask(number: int, event: Event) -> bytes:
    """The frame that hands `event` to the child."""
    return pack([number, event.id, event.topic, event.event, event.time_ms, event.signature], event.data)


def asked(frame: Frame) -> tuple[int, Event]:
    """The number and the event of a frame that `ask` made."""
    number, id_, topic, event, time_ms, signature = frame.head
    return number, Event(id_, topic, event, time_ms, frame.body, signature)


def answer(number: int, event: Event, outcome: Outcome) -> bytes:
    """The frame that says what became of `event`."""
    match outcome:
        case Event():
            # Most hooks sign or filter: a quarter of a megabyte need not go back as it came.
            kept = outcome.data == event.data
            head = [number, "kept" if kept else "changed", outcome.event, outcome.signature]
            return pack(head, b"" if kept else outcome.data)
        case Withheld(reason):
            return pack([number, "withheld", reason[:_REASON_CHARS]])
        case Dropped():
            return pack([number, "dropped"])
        case _:
            return pack([number, "withheld", f"the hook chain answered {type(outcome).__name__}, which is no outcome"])


def answered(frame: Frame, number: int, event: Event) -> Outcome:
    """What became of `event`, which was asked about under `number`.

    The id, topic and time are the event's own, whatever the child says. Raises Garbage.
    """
    match frame.head:
        case [int(numbered), *_] if numbered != number:
            raise Garbage(f"an answer to event {numbered}, asked was {number}")
        case [int(), "kept", str(name), str() | None as signature] if not frame.body:
            return event._replace(event=_name(name), signature=_signature(signature))
        case [int(), "changed", str(name), str() | None as signature]:
            try:
                frame.body.decode()
            except UnicodeDecodeError as error:
                raise Garbage(f"data that is not UTF-8 at byte {error.start}") from error
            return event._replace(event=_name(name), data=frame.body, signature=_signature(signature))
        case [int(), "dropped"] if not frame.body:
            return Dropped()
        case [int(), "withheld", str(reason)] if not frame.body and len(reason) <= _REASON_CHARS:
            if reason.isprintable():
                return Withheld(reason)
    raise Garbage("a frame that is no answer")


def _name(name: str) -> str:
    try:
        return check_event_name(name)
    except SlipstreamError as error:
        raise Garbage(error.message) from error


def _signature(signature: str | None) -> str | None:
    if signature is not None and not (signature.isascii() and signature.isprintable()):
        raise Garbage("a signature with something else than printable ASCII in it")
    return signature
