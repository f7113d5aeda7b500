"""A reactor without sockets: how many bytes each write takes is the test's decision.

It offers what `slipstream.fanout.reactor.Reactor` offers to a tail, by the same rules, and watches that they are kept.
"""

import errno
import re
from typing import cast

from slipstream.fanout.audience import Audience
from slipstream.fanout.connection import PARKED, Connection, Ending, State
from slipstream.fanout.reactor import Reactor
from slipstream.fanout.tail import Tail
from slipstream.protocol.frame import LAST_CHUNK

_PLENTY = 1 << 40
_FRAME_END = re.compile(rb"\n\n(?:\r\n)?")


class Wire:
    """One socket. It is full after `room` bytes, after `writes` whole writes, or behind the `frames`th frame."""

    def __init__(self) -> None:
        self.room = self.writes = self.frames = _PLENTY
        self.gone = False
        self.taken = bytearray()

    @property
    def full(self) -> bool:
        return not (self.room and self.writes and self.frames)

    def free(self) -> None:
        self.room = self.writes = self.frames = _PLENTY

    def take(self, payload: bytes) -> int:
        if self.gone:
            raise BrokenPipeError(errno.EPIPE, "the peer is gone")
        assert payload, "an empty write is of no use"
        if self.full:
            raise BlockingIOError(errno.EAGAIN, "full")
        ends = [end.end() for end in _FRAME_END.finditer(payload)][: self.frames]
        sent = min(len(payload), self.room, *ends[self.frames - 1 :])
        self.frames -= len(ends)
        self.room -= sent
        self.writes -= 1
        self.taken += payload[:sent]
        return sent


class FakeReactor:
    """`waiting` are the connections that `pump` is to be called for when there is room (see `writable`)."""

    def __init__(self) -> None:
        self.wires: dict[int, Wire] = {}
        self.adopted: dict[Connection, None] = {}
        self.waiting: dict[Connection, int] = {}
        self.marked: dict[Tail, None] = {}
        self.endings: dict[Connection, Ending] = {}

    @property
    def real(self) -> Reactor:
        """The same, as the type that a tail asks for."""
        return cast("Reactor", self)

    def open(self, number: int, audience: Audience, cursor: int) -> Connection:
        """A connection with a socket that takes everything."""
        self.wires[number] = Wire()
        return Connection(number, number, audience, cursor)

    def wire(self, connection: Connection) -> Wire:
        return self.wires[connection.fd]

    def write(self, fd: int, payload: bytes) -> int:
        """Stands in for `os.write`, with which rounds write."""
        return self.wires[fd].take(payload)

    # -- what a tail calls -------------------------------------------------------------------------------------------

    def adopt(self, connection: Connection) -> None:
        self.adopted[connection] = None

    def send(self, connection: Connection, payload: bytes) -> int:
        assert connection.state is State.BEHIND, "only readers that are behind are written to one by one"
        try:
            return self.wire(connection).take(payload)
        except BlockingIOError:
            return 0
        except OSError:
            self.drop(connection)
            return -1

    def await_room(self, connection: Connection, *, progress: bool) -> None:
        assert connection in self.adopted, "a socket that is not watched never has room"
        taken = len(self.wire(connection).taken)
        before = self.waiting.get(connection)
        assert before is None or not progress or taken > before, "the write deadline moves without progress"
        self.waiting[connection] = taken

    def rest(self, connection: Connection) -> None:
        self.waiting.pop(connection, None)

    def mark(self, tail: Tail) -> None:
        self.marked[tail] = None

    def drop(self, connection: Connection, ending: Ending = Ending.CLIENT) -> None:
        if connection.state is State.CLOSED:
            return
        self._retire(connection, ending)
        connection.state = State.CLOSED

    def close(self, connection: Connection, ending: Ending, final: bytes = b"") -> None:
        if connection.state is State.CLOSED:
            return
        audience, torn = connection.audience, bool(connection.unsent)
        payload = audience.frame(final) if final else b""
        if audience.view.chunked:
            payload += LAST_CHUNK
        self._retire(connection, ending)
        connection.state = State.CLOSED
        wire = self.wire(connection)
        if not torn and not wire.gone and not wire.full and payload:
            wire.take(payload)

    def _retire(self, connection: Connection, ending: Ending) -> None:
        self.rest(connection)
        connection.audience.tail.forget(connection)
        connection.floor = PARKED
        connection.unsent = b""
        del self.adopted[connection]
        assert connection not in self.endings, "closed twice"
        self.endings[connection] = ending

    # -- what the loop does ------------------------------------------------------------------------------------------

    def writable(self, connection: Connection) -> None:
        """The socket has room, if the tail waits for that."""
        if connection in self.waiting and not self.wire(connection).full:
            connection.audience.tail.pump(connection)

    def step(self, until: float) -> None:
        """One slice for each tail that has something to send."""
        for tail in list(self.marked):
            if tail.step(until):
                del self.marked[tail]
