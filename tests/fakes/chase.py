"""The plainest chase that keeps to what a tail asks of one: no sharing, no fences, one read after the other."""

import asyncio

from slipstream.fanout.connection import Connection, Ending, State
from slipstream.fanout.tail import Tail
from slipstream.protocol import control
from slipstream.protocol.control import Gap, Reason
from slipstream.protocol.errors import SlipstreamError
from tests.fakes.stream import FakeSource


class FakeChase:
    """Reads the stream without a filter, so that the end of what it read is the end of what there is."""

    def __init__(self, source: FakeSource) -> None:
        self._source = source

    async def __call__(self, tail: Tail, connection: Connection) -> None:
        try:
            while connection.state is State.BEHIND and await self._advance(tail, connection):
                pass
        finally:
            tail.ended(connection)

    async def _advance(self, tail: Tail, connection: Connection) -> bool:
        incarnation = tail.incarnation
        snapshot = connection.snapshot
        if snapshot is not None:
            try:
                records = await snapshot.after(connection.cursor)
            except SlipstreamError:
                # There is no second one: what is the newest of a topic has changed meanwhile.
                tail.reactor.close(connection, Ending.UPSTREAM)
                return False
            if records and connection.snapshot is snapshot:
                return tail.deliver(connection, records)
            connection.snapshot = None
            await snapshot.aclose()
            return not connection.unsent
        if tail.ring.covers(connection.cursor):
            tail.arrive(connection)
            return False
        try:
            batch = await self._source.read(">", connection.cursor, 5)
            state = await self._source.state()
        except SlipstreamError:
            await asyncio.sleep(0.1)
            return True
        if tail.incarnation != incarnation or state.epoch != tail.epoch:
            await asyncio.sleep(0.1)
            return True
        if connection.cursor < state.first_seq - 1:
            requested, connection.cursor = tail.position(connection.cursor), state.first_seq - 1
            place = tail.position(connection.cursor)
            gap = Gap(Reason.expired, str(requested), place, connection.audience.view.filters.everything)
            if not tail.tell(connection, control.gap(place, gap)):
                return False
        if not batch.records:
            await asyncio.sleep(0.1)
        return tail.deliver(connection, batch.records)
