"""From a record to the frame that its readers get, once per record and look."""

from __future__ import annotations

from typing import assert_never

from slipstream.protocol import control
from slipstream.protocol.cloudevents import envelope
from slipstream.protocol.control import Gap, Reason
from slipstream.protocol.event import Record
from slipstream.protocol.frame import encode
from slipstream.protocol.position import Position, mark_of
from slipstream.shape.event import Dropped, Event, Undeliverable, Withheld
from slipstream.shape.look import PLAIN, Look
from slipstream.shape.shaper import Shaper


class Encoder:
    """Makes the frames of one log as one shaper says. `incarnation` tells it from the log that was here before."""

    __slots__ = ("epoch", "incarnation", "shaper", "tenant")

    def __init__(self, tenant: str, epoch: str, incarnation: int, shaper: Shaper) -> None:
        self.tenant = tenant
        self.epoch = epoch
        self.incarnation = incarnation
        self.shaper = shaper

    def frame(self, record: Record, look: Look) -> bytes:
        """The SSE frame of `record`, or of the gap in its place; empty where its readers have nothing to hear of it.

        Kept on the record: the ring's readers and every audience share one encoding. Records belong to one encoder:
        with another one they are read again.
        """
        if look == PLAIN:
            if record.frame is None:
                record.frame = self._encode(record, look)
            return record.frame
        frames = record.frames
        if frames is None:
            frames = record.frames = {}
        frame = frames.get(look)
        if frame is None:
            frame = frames[look] = self._encode(record, look)
        return frame

    def _encode(self, record: Record, look: Look) -> bytes:
        outcome = self.shaper.outcome(record, self.epoch, look)
        match outcome:
            case Event():
                return self._event(outcome, look)
            case Dropped():
                return b""
            case Withheld():
                return self._gap(record, Reason.withheld)
            case Undeliverable():
                return self._gap(record, Reason.undeliverable)
            case _:
                assert_never(outcome)

    def _event(self, event: Event, look: Look) -> bytes:
        if look.envelope:
            return encode(event.id, event.event, enveloped(self.tenant, event))
        frame = encode(event.id, event.event, event.data)
        if event.signature is None:
            return frame
        # A field that browsers do not know and pass over (WHATWG HTML section 9.2.6); other clients can read it.
        return b"signature: " + event.signature.encode() + b"\n" + frame

    def _gap(self, record: Record, reason: Reason) -> bytes:
        place = Position(self.epoch, record.seq, mark_of(record.time_ms))
        return control.gap(place, Gap(reason, None, place, certain=True))


def enveloped(tenant: str, event: Event) -> bytes:
    """The event as a CloudEvent, for readers who must know its topic."""
    return envelope(
        tenant,
        id_=event.id,
        topic=event.topic,
        event=event.event,
        time_ms=event.time_ms,
        data=event.data,
        signature=event.signature,
    )
