"""One answer of a poll: the next events after a cursor, from the ring or the stream, waiting for the first if asked."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from typing import NamedTuple

from slipstream.fanout.replay import Replay
from slipstream.fanout.start import Start
from slipstream.fanout.tail import Tail
from slipstream.log.splice import Fence, Step, step
from slipstream.protocol.control import Gap, Reason
from slipstream.protocol.errors import Code, SlipstreamError
from slipstream.protocol.event import Record
from slipstream.protocol.position import Position, mark_of
from slipstream.protocol.topic import Filters


class Page(NamedTuple):
    """`place` is the position after the last event that was looked at; `more` says that there are events after it.

    `gap` is what is missing before the first of `records`. Where something is missing behind one, the page ends
    before it, and the next one tells it.
    """

    records: list[Record]
    place: Position
    more: bool
    gap: Gap | None


async def page(begun: Start, tail: Tail, replay: Replay, filters: Filters, limit: int, wait: float) -> Page:
    """Up to `limit` events that match, after `begun`; waits up to `wait` seconds for the first one."""
    until = time.monotonic() + wait
    if begun.snapshot is not None:
        return await _snapshot(begun, begun.snapshot, tail, limit)
    cursor, gap = begun.cursor, begun.gap
    fence: Fence | None = None
    incarnation = tail.incarnation
    pattern = filters.narrowest()
    found: list[Record] = []
    while True:
        if tail.incarnation != incarnation:
            raise SlipstreamError(Code.UPSTREAM_UNAVAILABLE, "the stream was replaced meanwhile", retry_after=0.5)
        ring = tail.ring
        match step(cursor, ring.base, ring.last, fence):
            case Step.RING:
                cursor = _take(ring.after(cursor), ring.last, filters, limit, found)
            case Step.FENCE:
                fence = await replay.fence(pattern, cursor, ring.last, incarnation)
            case Step.JUMP:
                cursor, fence = (cursor if fence is None else fence.head), None
            case Step.REPLAY:
                got = await replay.page(pattern, cursor, incarnation)
                if cursor < got.state.first_seq - 1:
                    if found:
                        return _page(tail, found, cursor, more=True, gap=gap)
                    requested, cursor = tail.position(cursor), got.state.first_seq - 1
                    gap = Gap(Reason.expired, str(requested), tail.position(cursor), filters.everything)
                records = [record for record in got.batch.records if record.seq > cursor]
                if records:
                    cursor = _take(iter(records), records[-1].seq, filters, limit, found)
            case _:
                if found or time.monotonic() >= until:
                    return _page(tail, found, cursor, more=False, gap=gap)
                await tail.changed(until - time.monotonic())
        if len(found) >= limit or (found and found[-1].fault is not None):
            return _finished(tail, found, cursor, gap)


def _finished(tail: Tail, found: list[Record], cursor: int, gap: Gap | None) -> Page:
    last = found[-1]
    if last.fault is None:
        return _page(tail, found, cursor, more=cursor < tail.ring.last, gap=gap)
    if len(found) > 1 or gap is not None:
        # Told at the head of the next page, so that a reader knows where in the order it belongs.
        return _page(tail, found[:-1], last.seq - 1, more=True, gap=gap)
    place = Position(tail.epoch, last.seq, mark_of(last.time_ms))
    gap = Gap(Reason.undeliverable, None, place, certain=True)
    return Page([], place, last.seq < tail.ring.last, gap)


def _page(tail: Tail, found: list[Record], cursor: int, *, more: bool, gap: Gap | None) -> Page:
    if found and found[-1].seq == cursor:
        return Page(found, Position(tail.epoch, cursor, mark_of(found[-1].time_ms)), more, gap)
    return Page(found, tail.position(cursor), more, gap)


def _take(records: Iterator[Record], end: int, filters: Filters, limit: int, found: list[Record]) -> int:
    for record in records:
        if filters.matches(record.topic):
            found.append(record)
            if len(found) >= limit or record.fault is not None:
                return record.seq
    return end


async def _snapshot(
    begun: Start, batches: AsyncGenerator[list[Record], None], tail: Tail, limit: int
) -> Page:
    """The newest event of each topic, as many as fit the page; what follows its cursor comes with every event."""
    found: list[Record] = []
    async with aclosing(batches):
        async for batch in batches:
            found += [record for record in batch if record.fault is None]
            if len(found) >= limit:
                break
    found = found[:limit]
    if not found:
        return Page([], tail.position(tail.ring.last), more=False, gap=begun.gap)
    return _page(tail, found, found[-1].seq, more=found[-1].seq < tail.ring.last, gap=begun.gap)
