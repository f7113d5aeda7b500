"""How bytes leave for one reader that is behind: what its socket does not take is kept, and the rest read again later.

Each function answers True when everything went out, False when the reader has to wait for room or is gone. A reader in
an audience is written to by rounds, not from here.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from slipstream.fanout.audience import cut
from slipstream.fanout.connection import Connection
from slipstream.fanout.encode import frame_of
from slipstream.fanout.reactor import Reactor
from slipstream.protocol.event import Record

_WRITE_BYTES: Final = 64 * 1024


def flush(reactor: Reactor, connection: Connection) -> bool:
    """Send what is unsent."""
    if connection.unsent:
        sent = reactor.send(connection, connection.unsent)
        if sent < 0:
            return False
        if sent < len(connection.unsent):
            reactor.await_room(connection, progress=sent > 0)
            connection.unsent = connection.unsent[sent:]
            return False
        connection.unsent = b""
    reactor.rest(connection)
    return True


def write(reactor: Reactor, connection: Connection, payload: bytes) -> bool:
    """Send `payload` behind what is unsent; all of it is kept until it is out."""
    connection.unsent += payload
    return flush(reactor, connection)


def send_records(reactor: Reactor, connection: Connection, records: Iterable[Record], epoch: str, end: int) -> bool:
    """Send what `connection` wants of `records` (ascending) and has not had; when all is out its cursor is at `end`."""
    frames: list[bytes] = []
    seqs: list[int] = []
    size, filters = 0, connection.audience.view.filters
    for record in records:
        if record.seq <= connection.cursor or not filters.matches(record.topic):
            continue
        frame = frame_of(record, epoch)
        frames.append(frame)
        seqs.append(record.seq)
        size += len(frame)
        if size >= _WRITE_BYTES:
            if not _write_frames(reactor, connection, frames, seqs, record.seq):
                return False
            frames, seqs, size = [], [], 0
    return _write_frames(reactor, connection, frames, seqs, end)


def _write_frames(reactor: Reactor, connection: Connection, frames: list[bytes], seqs: list[int], after: int) -> bool:
    """Send SSE frames, each with the sequence it brings the reader to; when all are out its cursor is at `after`.

    Of what the socket does not take only the rest of a torn frame is kept, and the cursor is where that leaves it.
    """
    if connection.unsent and not flush(reactor, connection):
        return False
    if not frames:
        connection.cursor = after
        return True
    frames, seqs = connection.audience.wrap(frames, seqs)
    payload = b"".join(frames)
    sent = reactor.send(connection, payload)
    if sent < 0:
        return False
    connection.cursor, connection.unsent = cut(frames, seqs, sent, connection.cursor, after)
    if sent == len(payload):
        return True
    reactor.await_room(connection, progress=sent > 0)
    return False
