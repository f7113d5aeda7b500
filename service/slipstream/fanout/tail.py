"""The live end of one tenant's log on this pod: its ring, its audiences, and the readers that are on their way there.

Left to right: `append` takes a record from the feed into the ring and offers it to the audiences (`broadcast.py`);
`step` writes what is pending; `pump` brings a reader that is behind up to the head, where `_join` puts it into its
audience in the same step of the loop. `restart` is the one way back: the feed says that the past is another one.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

from slipstream.fanout.audience import GATHER_SECONDS, Audience, Round, View
from slipstream.fanout.broadcast import Broadcast, heartbeat
from slipstream.fanout.connection import PARKED, Connection, State
from slipstream.fanout.encode import Encoder
from slipstream.fanout.outlet import Outlet
from slipstream.fanout.payload import Payloads
from slipstream.fanout.reactor import Reactor
from slipstream.log.budget import Budget
from slipstream.log.resume import gap_of
from slipstream.log.ring import Limits, Ring
from slipstream.log.source import State as StreamState
from slipstream.log.splice import Step, step
from slipstream.protocol import control
from slipstream.protocol.control import Reason
from slipstream.protocol.event import Record
from slipstream.protocol.position import Position, mark_of
from slipstream.shape.shaper import Shaper

_BLOCK = 128
"""Events of the ring that readers of one view share as one payload; it begins at a multiple of this."""

Chase = Callable[["Tail", Connection], Coroutine[Any, Any, None]]


class Tail:
    """See the module. A `log.source.Sink`.

    `chase(tail, connection)` is started (as a named task) for a reader that the ring does not cover; it ends by
    calling `pump` again. `heartbeat` in seconds.
    """

    def __init__(
        self,
        tenant: str,
        reactor: Reactor,
        shaper: Shaper,
        limits: Limits,
        budget: Budget,
        payloads: Payloads,
        *,
        heartbeat: float,
        chase: Chase,
    ) -> None:
        self.tenant = tenant
        self.reactor = reactor
        self.heartbeat = heartbeat
        self.epoch = ""
        self.ring = Ring(limits, 0)
        self.attached = asyncio.Event()
        self.incarnation = 0
        self.resets = 0
        self._encoder = Encoder(tenant, "", 0, shaper)
        self._budget = budget
        self._chase = chase
        self._broadcast = Broadcast(self, heartbeat, self._lag, reactor.drop)
        self._outlet = Outlet(reactor, payloads)
        self._gathering = False
        self._behind: dict[Connection, float] = {}
        self._early: dict[Connection, None] = {}
        self._joining: dict[Connection, None] = {}
        self._chases: dict[Connection, asyncio.Task[None]] = {}
        self._stale: deque[Connection] = deque()
        self._waiters: set[asyncio.Future[None]] = set()

    def __len__(self) -> int:
        return len(self._behind) + len(self._broadcast)

    # -- from the feed -----------------------------------------------------------------------------------------------

    def append(self, record: Record) -> None:
        """Take the next record into the ring and to the audiences whose filters match it."""
        self.ring.append(record)
        self._budget.settle(self.ring)
        for audience in self._broadcast.offer(record, self._encoder, self.ring.limits.events):
            # The process does not keep up, and the queue must not grow: they are refilled from ring and stream in
            # larger writes.
            for connection, cursor in self._broadcast.overrun(audience).items():
                connection.cursor = cursor
                self._park(connection)
                self._stale.append(connection)
        if self._broadcast.touched or self._stale or self._waiters or self._early:
            self.reactor.mark(self)

    def restart(self, state: StreamState, base: int, base_time_ms: int | None, reason: Reason | None) -> None:
        """Go on after `base` of the log that `state` describes; a `reason` is told to every reader as a gap."""
        self._broadcast.finish()
        requested = str(self.position(self.ring.last))
        behind = {one: str(self.position(one.cursor)) for one in self._behind}
        self._budget.forget(self.ring)
        self.epoch = state.epoch
        self.ring = Ring(self.ring.limits, base, base_time_ms)
        self.incarnation += 1
        self._encoder = Encoder(self.tenant, self.epoch, self.incarnation, self.shaper)
        self._broadcast.last = base
        self.attached.set()
        if reason is None:
            return
        self.resets += 1
        place = self.position(base)

        def told(audience: Audience, stood: str) -> bytes:
            return audience.frame(control.gap(place, gap_of(reason, stood, place, audience.view.filters)))

        self._broadcast.restart(base, lambda audience: told(audience, requested))
        for connection in self._behind:
            if reason is Reason.expired and connection.cursor >= base:
                # It was ahead of the feed, and nothing is missing for it; or it has just been told.
                connection.fence = None
                continue
            connection.reposition(base)
            if connection in behind or not connection.unsent:
                connection.unsent += told(connection.audience, behind.get(connection, requested))
        # Those in a chase, too: it ends when it finds something unsent, and leaves the rest to whoever waits for room.
        self._stale.extend(self._behind)
        self.reactor.mark(self)

    def reshape(self, shaper: Shaper) -> None:
        """The tenant's document is another one: from now on events look as `shaper` says.

        What was made before is read again from the stream.
        """
        self._broadcast.finish()
        ring = self.ring
        self._budget.forget(ring)
        self.ring = Ring(ring.limits, ring.last, ring.last_time_ms)
        self.incarnation += 1
        self._encoder = Encoder(self.tenant, self.epoch, self.incarnation, shaper)
        for connection in self._behind:
            # Who was getting the newest event of each topic gets all events from here on: those are among them.
            connection.reposition(connection.cursor)
        self._stale.extend(self._behind)
        self.reactor.mark(self)

    # -- to the sockets ----------------------------------------------------------------------------------------------

    def step(self, until: float) -> bool:
        """One slice of work, until `until` (monotonic seconds); True when there is nothing left to do."""
        broadcast = self._broadcast
        while True:
            if broadcast.rounds:
                broadcast.advance()
            else:
                self._gather()
                self._refresh(until)
                self._wake()
                if not broadcast.rounds:
                    return not self._stale
            if time.monotonic() >= until and (broadcast.rounds or self._stale):
                return False

    def _gather(self) -> None:
        """Seal what is ripe. What is not ripe yet calls for another turn later."""
        self._broadcast.gather()
        if self._joining:
            # Now, while nothing is pending: whoever had to wait for that joins.
            ready = [one for one in self._joining if not one.audience.pending]
            self._stale.extend(ready)
            for connection in ready:
                del self._joining[connection]
        if self._broadcast.touched and not self._gathering:
            self._gathering = True
            asyncio.get_running_loop().call_later(GATHER_SECONDS, self._gathered)

    def _gathered(self) -> None:
        self._gathering = False
        self.reactor.mark(self)

    def beat(self, now: float) -> None:
        """Say something to everyone who has heard nothing for a heartbeat (`now` in monotonic seconds)."""
        self._broadcast.beat(now, self.position(self.ring.last))
        for connection, since in list(self._behind.items()):
            if now - since >= self.heartbeat and not connection.unsent:
                self._behind[connection] = now
                connection.unsent = connection.audience.frame(heartbeat(connection.audience))
                # Not a write alone: where it finds room, nobody would be told of that room any more.
                self.pump(connection)
        if self._broadcast.rounds or self._joining:
            self.reactor.mark(self)

    def _refresh(self, until: float) -> None:
        """Pump those that are behind through no fault of their socket, as many as there is time for."""
        while self._stale:
            self.pump(self._stale.popleft())
            if time.monotonic() >= until:
                return

    def _lag(self, connection: Connection, round_: Round, sent: int) -> None:
        before = connection.floor if round_.before >= PARKED - 1 else max(round_.before, connection.floor)
        connection.cursor, connection.unsent = round_.payload.cut(sent, before, round_.after)
        self._park(connection)
        self.reactor.await_room(connection, progress=True)

    def _wake(self) -> None:
        if self._early:
            for connection in [one for one in self._early if one.cursor <= self.ring.last]:
                del self._early[connection]
                self.pump(connection)
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._waiters.clear()

    # -- readers -----------------------------------------------------------------------------------------------------

    def audience(self, view: View) -> Audience:
        """The audience of `view`, made when it is the first of its kind."""
        return self._broadcast.audience(view)

    def admit(self, connection: Connection, head: bytes) -> None:
        """A new reader, at `connection.cursor`, whose first bytes are `head`. It is sent all that it has not had."""
        connection.unsent = head
        audience = connection.audience
        audience.readers += 1
        # Where nothing that it wants lies between its place and the head, a checkpoint brings it there.
        audience.told = min(audience.told, connection.cursor)
        self._park(connection)
        self.reactor.adopt(connection)
        self.pump(connection)

    def pump(self, connection: Connection) -> None:
        """Bring a reader nearer to the head as far as its socket takes it, and into its audience when it is there."""
        self._early.pop(connection, None)
        self._joining.pop(connection, None)
        if connection.state is not State.BEHIND or not self._outlet.flush(connection):
            return
        while connection.state is State.BEHIND:
            ring = self.ring
            if connection.snapshot is not None:
                self._start_chase(connection)
                return
            match step(connection.cursor, ring.base, ring.last, connection.fence):
                case Step.LIVE:
                    self._join(connection)
                    return
                case Step.WAIT:
                    self._early[connection] = None
                    return
                case Step.RING:
                    if not self._refill(connection):
                        return
                case _:
                    self._start_chase(connection)
                    return

    def _refill(self, connection: Connection) -> bool:
        """Send a block of the ring; whole, where others will want the same one."""
        begin = connection.cursor - connection.cursor % _BLOCK
        end = min(begin + _BLOCK, self.ring.last)
        shared = connection.audience.readers > 1
        missing = self.ring.between(begin if shared else connection.cursor, end)
        return self._outlet.send(connection, missing, self._encoder, end)

    def deliver(self, connection: Connection, records: list[Record]) -> bool:
        """Send records that were read for a reader (ascending; those it has, or does not want, are passed over).

        True when all of them went out; then its cursor is at the last one. False when it has to wait for room, or is
        gone.
        """
        end = max(records[-1].seq, connection.cursor) if records else connection.cursor
        return self._outlet.send(connection, records, self._encoder, end)

    def arrive(self, connection: Connection) -> None:
        """A chase has brought the reader to where the ring covers it, and ends."""
        self.ended(connection)
        # It may have been told nothing for the last stretch, and its audience all of it meanwhile.
        connection.audience.told = min(connection.audience.told, connection.cursor - 1)
        self.pump(connection)

    def ended(self, connection: Connection) -> None:
        """The chase that calls this ends; the next `pump` may start another."""
        if self._chases.get(connection) is asyncio.current_task():
            del self._chases[connection]

    def tell(self, connection: Connection, block: bytes) -> bool:
        """Send a control frame to a reader that is behind; False when it has to wait for room, or is gone."""
        return self._outlet.write(connection, connection.audience.frame(block))

    def tell_one(self, connection: Connection, block: bytes) -> None:
        """Send a control frame to one reader, wherever it stands; whatever its socket does not take is kept."""
        if connection.state is State.LIVE:
            # What is pending is for it, too. With that it is at the head, or it has become a laggard.
            self._broadcast.finish()
        if connection.state is State.LIVE:
            connection.cursor = self._broadcast.last
            self._park(connection)
        if connection.state is State.BEHIND:
            connection.unsent += connection.audience.frame(block)
            self.pump(connection)

    def forget(self, connection: Connection) -> None:
        """The connection is closed: nothing of it stays here."""
        audience = connection.audience
        audience.leave(connection)
        self._behind.pop(connection, None)
        self._early.pop(connection, None)
        self._joining.pop(connection, None)
        chase = self._chases.pop(connection, None)
        if chase is None or chase is not asyncio.current_task():
            if chase is not None:
                chase.cancel()
            if connection.snapshot is not None:
                # Not left to the chase: one that is ended before it began does nothing at its end.
                connection.snapshot.close()
                connection.snapshot = None
        audience.readers -= 1
        if not audience.readers:
            self._broadcast.forget(audience)

    @property
    def shaper(self) -> Shaper:
        """How this tenant's events look now."""
        return self._encoder.shaper

    def position(self, seq: int) -> Position:
        """The position `seq` of this log, with its mark where the ring knows it."""
        time_ms = self.ring.last_time_ms if seq == self.ring.last else self.ring.time_of(seq)
        return Position(self.epoch, seq, None if time_ms is None or not seq else mark_of(time_ms))

    async def changed(self, patience: float) -> None:
        """Return when something was appended, or after `patience` seconds."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.add(waiter)
        try:
            async with asyncio.timeout(patience):
                await waiter
        except TimeoutError:
            return
        finally:
            self._waiters.discard(waiter)

    def _park(self, connection: Connection) -> None:
        connection.state = State.BEHIND
        connection.floor = PARKED
        connection.audience.leave(connection)
        self._behind[connection] = time.monotonic()

    def _join(self, connection: Connection) -> None:
        audience = connection.audience
        if audience.pending:
            # It has had that from the ring: it belongs to those who were here before. To seal it for each arrival would
            # make batches small just when there is much to do.
            self._joining[connection] = None
            self.reactor.mark(self)
            return
        del self._behind[connection]
        connection.state = State.LIVE
        connection.floor = connection.cursor
        connection.fence = None
        audience.enter(connection)

    def _start_chase(self, connection: Connection) -> None:
        if connection in self._chases:
            return
        self._chases[connection] = asyncio.get_running_loop().create_task(
            self._chase(self, connection), name=f"chase-{self.tenant}-{connection.number}"
        )
