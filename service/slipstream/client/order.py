"""The first promise, checked by the reader: on one log the sequence numbers of events strictly increase."""

from slipstream.protocol.errors import SlipstreamError
from slipstream.protocol.position import Position

READY = "stream.ready"
GAP = "stream.gap"
CHECKPOINT = "stream.checkpoint"


class OrderViolation(Exception):
    """The server sent an event twice, out of order, without a position, or of another log without a told gap."""


def is_control(event: str) -> bool:
    """Whether this name is the stream's own and not a producer's."""
    return event == "error" or event.startswith("stream.")


class Order:
    """Follows one client's messages over all its connections.

    position: where the stream stands: the last event's place, or the one a ready, gap or checkpoint frame named.
    """

    __slots__ = ("position",)

    def __init__(self, last_event_id: str | None = None) -> None:
        """last_event_id: the id the first connection resumes from. Raises SlipstreamError when it is malformed."""
        self.position = Position.parse(last_event_id) if last_event_id else None

    def check(self, id_: str, event: str) -> None:
        """Take one message's id and event name. Raises OrderViolation.

        Heartbeats, drain and the like have no place and are passed over. A gap may lead anywhere, another log
        included: that is what it tells. A ready or checkpoint frame may only move the place forward: the server sends
        them for a client whose topics are quiet.
        """
        if event not in (READY, GAP, CHECKPOINT) and is_control(event):
            return
        last = self.position
        if not id_ and event in (READY, GAP, CHECKPOINT):
            return
        try:
            here = Position.parse(id_)
        except SlipstreamError as error:
            raise OrderViolation(f"event {event!r} has no position: {error.message}") from error
        if event == GAP or last is None:
            self.position = here
        elif here.epoch == last.epoch:
            if is_control(event):
                self.position = max(last, here, key=lambda place: place.seq)
            elif here.seq <= last.seq:
                raise OrderViolation(f"event {id_} came after {last}: the order of the log is broken")
            else:
                self.position = here
        elif not is_control(event):
            raise OrderViolation(f"event {id_} came after {last}: another log, and no gap told it")
