"""From a record to the frame that its readers get, once per record."""

from __future__ import annotations

from slipstream.protocol import control
from slipstream.protocol.control import Gap, Reason
from slipstream.protocol.event import Record
from slipstream.protocol.frame import encode
from slipstream.protocol.position import Position, format_id, mark_of


def frame_of(record: Record, epoch: str) -> bytes:
    """The SSE frame of `record` in the log `epoch`, or the gap frame that tells it is undeliverable.

    Kept on the record: the ring's readers and every audience share one encoding.
    """
    frame = record.frame
    if frame is None:
        if record.fault is None:
            frame = encode(format_id(epoch, record.seq, record.time_ms), record.event, record.data)
        else:
            place = Position(epoch, record.seq, mark_of(record.time_ms))
            frame = control.gap(place, Gap(Reason.undeliverable, None, place, certain=True))
        record.frame = frame
    return frame
