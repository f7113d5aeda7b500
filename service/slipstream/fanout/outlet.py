"""How bytes leave for one reader that is behind: what its socket does not take is kept, and the rest read again later.

Each method answers True when everything went out, False when the reader has to wait for room or is gone. A reader in
an audience is written to by rounds, not from here.
"""

from __future__ import annotations

from collections.abc import Sequence

from slipstream.fanout.audience import Audience
from slipstream.fanout.connection import Connection
from slipstream.fanout.encode import Encoder
from slipstream.fanout.payload import Payload, Payloads
from slipstream.fanout.reactor import Reactor
from slipstream.protocol.event import Record


class Outlet:
    """For the readers of one tail. `payloads` are shared by all tails of the pod."""

    def __init__(self, reactor: Reactor, payloads: Payloads) -> None:
        self._reactor = reactor
        self._payloads = payloads

    def flush(self, connection: Connection) -> bool:
        """Send what is unsent."""
        if connection.unsent:
            sent = self._reactor.send(connection, connection.unsent)
            if sent < 0:
                return False
            if sent < len(connection.unsent):
                self._reactor.await_room(connection, progress=sent > 0)
                connection.unsent = connection.unsent[sent:]
                return False
            connection.unsent = b""
        self._reactor.rest(connection)
        return True

    def write(self, connection: Connection, block: bytes) -> bool:
        """Send `block` behind what is unsent; all of it is kept until it is out."""
        connection.unsent += block
        return self.flush(connection)

    def send(self, connection: Connection, records: Sequence[Record], encoder: Encoder, end: int) -> bool:
        """Send what `connection` wants of `records` (ascending) and has not had; with all of it its cursor is at `end`.

        Of what the socket does not take only the rest of a torn frame is kept, and the cursor is where that leaves it.
        """
        if connection.unsent and not self.flush(connection):
            return False
        payload = self._payload(connection.audience, records, encoder)
        start = payload.start(connection.cursor)
        if start == len(payload.data):
            connection.cursor = end
            return True
        rest = memoryview(payload.data)[start:] if start else payload.data
        sent = self._reactor.send(connection, rest)
        if sent < 0:
            return False
        if sent == len(rest):
            connection.cursor = end
            return True
        connection.cursor, connection.unsent = payload.cut(start + sent, connection.cursor, end)
        self._reactor.await_room(connection, progress=sent > 0)
        return False

    def _payload(self, audience: Audience, records: Sequence[Record], encoder: Encoder) -> Payload:
        if audience.readers <= 1 or not records:
            return _make(audience, records, encoder)
        # The newest events of each topic may begin and end as a page of history does: the count tells them apart,
        # because they are a part of it.
        span = (records[0].seq, records[-1].seq, len(records))
        key = (encoder.tenant, encoder.incarnation, audience.view, span)
        return self._payloads.get(key, lambda: _make(audience, records, encoder))


def _make(audience: Audience, records: Sequence[Record], encoder: Encoder) -> Payload:
    look, matches = audience.view.look, audience.view.filters.matches
    frames: list[bytes] = []
    seqs: list[int] = []
    for record in records:
        if matches(record.topic) and (frame := encoder.frame(record, look)):
            frames.append(frame)
            seqs.append(record.seq)
    return audience.wrap(frames, seqs)
