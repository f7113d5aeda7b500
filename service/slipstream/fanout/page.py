"""One answer of a poll: the next events after a cursor, from the ring or the stream, waiting for the first if asked."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Final, NamedTuple

from slipstream.fanout.replay import Replay
from slipstream.fanout.snapshot import Snapshot
from slipstream.fanout.start import Start, replaced
from slipstream.fanout.tail import Tail
from slipstream.log.resume import gap_of
from slipstream.log.source import State
from slipstream.log.splice import Fence, Step, step
from slipstream.protocol.control import Gap, Reason
from slipstream.protocol.event import Record
from slipstream.protocol.position import Position, mark_of
from slipstream.protocol.topic import Filters
from slipstream.shape.event import Dropped, Event, Withheld
from slipstream.shape.look import Look

PAGE_BYTES: Final = 8 * 1024 * 1024
"""Data after which a page ends, however many events were asked for: a thousand of the largest would be 256 MB."""


class Page(NamedTuple):
    """`place` is the position after the last event that was looked at; `more` says that there are events after it.

    `gap` is what is missing before the first of `events`. Where something is missing behind one, the page ends
    before it, and the next one tells it.
    """

    events: list[Event]
    place: Position
    more: bool
    gap: Gap | None


class Patience:
    """How long a page waits for its first event: `seconds` from now, or until `end`."""

    __slots__ = ("_over", "_timer", "_until")

    def __init__(self, seconds: float) -> None:
        self._until = time.monotonic() + seconds
        self._over = False
        self._timer: asyncio.Timeout | None = None

    @property
    def over(self) -> bool:
        """Whether nothing is waited for any more."""
        return self._over or time.monotonic() >= self._until

    def end(self) -> None:
        """Wait no longer: the page is what there is now."""
        self._over = True
        if self._timer is not None and not self._timer.expired():
            self._timer.reschedule(asyncio.get_running_loop().time())

    async def wait(self, tail: Tail) -> None:
        """Return when something was appended, or it is over."""
        left = self._until - time.monotonic()
        try:
            async with asyncio.timeout(left) as self._timer:
                await tail.changed(left)
        except TimeoutError:
            return
        finally:
            self._timer = None


async def page(
    begun: Start, tail: Tail, replay: Replay, filters: Filters, look: Look, *, limit: int, patience: Patience
) -> Page:
    """Up to `limit` events that match, fewer where they are large; waits with `patience` for the first one."""
    reader = _Reader(begun, tail, replay, filters, look, limit)
    if begun.snapshot is not None:
        await reader.exhaust(begun.snapshot)
        return reader.page()
    while not reader.full:
        if await reader.advance():
            continue
        if reader.found or patience.over:
            break
        await patience.wait(tail)
    return reader.page()


class _Reader:
    """Collects one page, chasing its cursor as a stream does (`log/splice.py`)."""

    def __init__(self, begun: Start, tail: Tail, replay: Replay, filters: Filters, look: Look, limit: int) -> None:
        self._tail = tail
        self._replay = replay
        self._filters = filters
        self._look = look
        self._pattern = filters.narrowest()
        self._limit = limit
        self._incarnation = begun.incarnation
        self._cursor = begun.cursor
        self._gap = begun.gap
        self._fence: Fence | None = None
        self._ends_here = False
        self.found: list[Event] = []
        self._bytes = 0
        self._newest: Record | None = None

    @property
    def full(self) -> bool:
        """Whether the page is complete: a limit, or something that the next page must tell first."""
        return self._ends_here or len(self.found) >= self._limit or self._bytes >= PAGE_BYTES

    async def advance(self) -> bool:
        """One step towards the head; False when the cursor is there."""
        ring = self._tail.ring
        self._same_incarnation()
        match step(self._cursor, ring.base, ring.last, self._fence):
            case Step.RING:
                self._take(ring.after(self._cursor), ring.last)
            case Step.FENCE:
                fence = await self._replay.fence(self._pattern, self._cursor, ring.last, self._incarnation)
                self._same_log(fence.state)
                self._fence = fence
            case Step.JUMP if self._fence is not None:
                self._cursor, self._fence = self._fence.head, None
            case Step.REPLAY:
                await self._read()
            case _:
                return False
        return True

    def _same_log(self, state: State) -> None:
        self._same_incarnation()
        if state.epoch != self._tail.epoch:
            raise replaced()

    def _same_incarnation(self) -> None:
        if self._tail.incarnation != self._incarnation:
            raise replaced()

    async def exhaust(self, snapshot: Snapshot) -> None:
        """Take the newest event of each topic; what follows the page's cursor comes with every event."""
        try:
            while not self.full and (records := await snapshot.after(self._cursor)):
                # Those of another log must not get ids of this one, nor what an old document shows be shown.
                self._same_incarnation()
                self._take(iter(records), records[-1].seq)
        finally:
            await snapshot.aclose()

    async def _read(self) -> None:
        got = await self._replay.page(self._pattern, self._cursor, self._incarnation)
        self._same_log(got.state)
        first = got.state.first_seq
        if self._cursor < first - 1:
            if self.found:
                self._ends_here = True
                return
            requested, self._cursor = self._tail.position(self._cursor), first - 1
            place = self._tail.position(self._cursor)
            self._gap = gap_of(Reason.expired, requested, place, self._filters)
        records = [record for record in got.batch.records if record.seq > self._cursor]
        if records:
            self._take(iter(records), records[-1].seq)

    def _take(self, records: Iterator[Record], end: int) -> None:
        for record in records:
            if not self._filters.matches(record.topic):
                continue
            outcome = self._tail.shaper.outcome(record, self._tail.epoch, self._look)
            if isinstance(outcome, Dropped):
                continue
            if not isinstance(outcome, Event):
                self._tell(record, Reason.withheld if isinstance(outcome, Withheld) else Reason.undeliverable)
                return
            self.found.append(outcome)
            self._bytes += len(outcome.data)
            self._newest = record
            self._cursor = record.seq
            if self.full:
                return
        self._cursor = end

    def _tell(self, record: Record, reason: Reason) -> None:
        """An event that is not for this reader's eyes, or for nobody's.

        A page tells one gap, and only before its events, so that its place is clear.
        """
        self._ends_here = True
        if self.found or self._gap is not None:
            self._cursor = record.seq - 1
            return
        self._cursor = record.seq
        place = Position(self._tail.epoch, record.seq, mark_of(record.time_ms))
        self._gap = Gap(reason, None, place, certain=True)

    def page(self) -> Page:
        """What was collected."""
        return Page(self.found, self._place(), self._cursor < self._tail.ring.last, self._gap)

    def _place(self) -> Position:
        """The position at the cursor, with its mark where that is known."""
        if self._newest is not None and self._newest.seq == self._cursor:
            return Position(self._tail.epoch, self._cursor, mark_of(self._newest.time_ms))
        if self._gap is not None and self._gap.from_ is not None and self._gap.from_.seq == self._cursor:
            return self._gap.from_
        return self._tail.position(self._cursor)
