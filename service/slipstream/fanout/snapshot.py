"""The newest event of each topic: read once for all who ask within a second, and on its way to one reader each."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import Final, NamedTuple

from slipstream.fanout.flight import Flight, PutOff
from slipstream.fanout.slots import Slots
from slipstream.log.source import Source
from slipstream.protocol.event import Record
from slipstream.protocol.topic import Filters

HELD_BYTES: Final = 64 * 1024 * 1024
"""What all flights of the pod may keep together; the oldest gives way first."""

_Key = tuple[Source, int, Filters]


class Asked(NamedTuple):
    """The newest event of each topic, for one reader: `first` of them, and `snapshot`, which must be closed.

    Where there is none, both are empty, and the reader goes on after `head`: nothing that matches was stored up to it.
    """

    head: int
    first: list[Record]
    snapshot: Snapshot | None


class Snapshots:
    """All reads of the pod for the newest events. `slots`: how many of a tenant's have a consumer at once."""

    def __init__(self, slots: int) -> None:
        self._slots = Slots(slots)
        self._newest: dict[_Key, Flight] = {}
        self._flights: dict[Flight, _Key] = {}
        self._number = 0

    def __len__(self) -> int:
        """How many flights are under way or kept."""
        return len(self._flights)

    @property
    def bytes(self) -> int:
        """What they keep."""
        return sum(flight.bytes for flight in self._flights)

    async def ask(self, source: Source, incarnation: int, filters: Filters, head: int, *, fresh: bool) -> Asked:
        """A reader's own way through a read that may be another one's, too.

        `incarnation`, `head`: of the tail at this moment. `fresh`: a read that began a moment ago will not do, because
        nothing is sent after it. Raises UPSTREAM_UNAVAILABLE when the stream does not answer, OVERLOADED when the
        read does not get its turn within ten seconds; so does the snapshot.
        """
        key = (source, incarnation, filters)
        flight, reader = self._enter(key, head, fresh=fresh)
        batches = self._batches(key, flight, reader)
        first = await anext(batches, None)
        return Asked(flight.head, first or [], Snapshot(batches, first) if first else None)

    async def _batches(self, key: _Key, flight: Flight, reader: object) -> AsyncGenerator[list[Record], None]:
        """What is put off its flight goes on in another one, after what it has.

        That is right for the same reason for which a client that was cut off can go on after its last id: lists
        ascend, so that whatever became the newest of its topic since then lies after what the reader has.
        """
        source, cursor = key[0], 0
        while True:
            with suppress(PutOff):
                try:
                    while (batch := await flight.next(reader)) is not None:
                        batch = [one for one in batch if one.seq > cursor]
                        while batch:
                            ready = await source.prepare(batch)
                            yield ready
                            cursor = ready[-1].seq
                            batch = batch[len(ready) :]
                    return
                finally:
                    flight.leave(reader)
            flight, reader = self._enter(key, flight.head, fresh=False)

    def _enter(self, key: _Key, head: int, *, fresh: bool) -> tuple[Flight, object]:
        flight = self._newest.get(key)
        if flight is None or not flight.takes(fresh=fresh):
            self._number += 1
            batches = key[0].snapshot(key[2])
            flight = Flight(f"snapshot-{self._number}", batches, head, self._slots.of(key[0]), self._settle)
            self._newest[key] = flight
            self._flights[flight] = key
        reader = object()
        flight.enter(reader)
        return flight, reader

    def _settle(self) -> None:
        """Drop what the oldest keep where all together keep too much, and let go of those that are over."""
        surplus = self.bytes - HELD_BYTES
        for flight in self._flights:
            if surplus <= 0:
                break
            if flight.bytes:
                surplus -= flight.bytes
                flight.drop()
        for flight in [flight for flight in self._flights if flight.idle]:
            key = self._flights.pop(flight)
            if self._newest.get(key) is flight:
                del self._newest[key]


class Snapshot:
    """Holds the list that is being sent until all of it is out: a socket takes what it takes.

    `batches` are ascending by sequence, in and across lists; `records` is the first of them where it was taken already.
    """

    __slots__ = ("_asking", "_batches", "_records")

    def __init__(self, batches: AsyncGenerator[list[Record], None], records: list[Record] | None = None) -> None:
        self._batches = batches
        self._records = records or []
        self._asking = False

    async def after(self, cursor: int) -> list[Record]:
        """A list that has something after `cursor`, the same as before where it still has; empty at the end."""
        while not self._records or self._records[-1].seq <= cursor:
            self._asking = True
            try:
                records = await anext(self._batches, None)
            finally:
                self._asking = False
            if records is None:
                return []
            self._records = records
        return self._records

    async def aclose(self) -> None:
        """It is not wanted any more; whoever waits in `after` ends it."""
        await self._batches.aclose()

    def close(self) -> None:
        """The same from outside a coroutine: left to whoever waits in `after`, else to a task."""
        if not self._asking:
            asyncio.get_running_loop().create_task(self.aclose(), name="close-snapshot")
