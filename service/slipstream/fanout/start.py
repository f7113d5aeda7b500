"""Where a reader starts: what it asked for, made into a cursor, the position it is told, and the gap if any."""

from __future__ import annotations

import asyncio
from typing import NamedTuple, assert_never

from slipstream.fanout.snapshot import Snapshot, Snapshots
from slipstream.fanout.tail import Tail
from slipstream.log.onward import examine, onward
from slipstream.log.resume import Broken, gap_of
from slipstream.log.source import Source
from slipstream.protocol.control import Gap, Reason
from slipstream.protocol.errors import Code, SlipstreamError
from slipstream.protocol.position import Position, mark_of
from slipstream.protocol.topic import Filters

_ATTEMPTS = 20
_LAG_SECONDS = 0.05


class Now(NamedTuple):
    """Only what is stored from now on."""


class Earliest(NamedTuple):
    """Everything that is retained."""


class Last(NamedTuple):
    """The newest event of each topic, then live."""


class At(NamedTuple):
    """Everything stored at or after a time, in milliseconds since the epoch."""

    time_ms: int


class After(NamedTuple):
    """Everything after an event that the reader has: `text` is its id as it was sent."""

    position: Position
    text: str


Wish = Now | Earliest | Last | At | After


class Start(NamedTuple):
    """`cursor`: the sequence after which the reader goes on. `place`: the same as the position that it is told.

    Both are of the tail's `incarnation`: in another one they mean nothing, and the reader has to start again.
    `snapshot`: what is sent first, for `Last`; whoever gets it must close it.
    """

    incarnation: int
    cursor: int
    place: Position
    gap: Gap | None
    snapshot: Snapshot | None = None


async def start(  # noqa: PLR0917 each is one thing that the decision needs
    wish: Wish,
    tail: Tail,
    source: Source,
    snapshots: Snapshots,
    filters: Filters,
    replay_events: int,
    now_ms: int,
    *,
    fresh: bool = False,
) -> Start:
    """Decide, asking the stream only where the ring cannot know. `replay_events`: how many events a resume may read.

    `fresh`: the newest of each topic as it is now, for a reader that gets nothing after it; a stream may begin with
    what was the newest a second ago, and then gets all that followed.

    Raises UPSTREAM_UNAVAILABLE when the stream does not answer, or is another one than our feed follows (which it
    notices within two heartbeats).
    """
    # Taken before anything is awaited: numbers of two incarnations must not be mixed.
    incarnation = tail.incarnation
    match wish:
        case Now():
            return _at(tail, tail.ring.last)
        case After():
            begun = await _resume(wish, tail, source, filters, now_ms)
        case Earliest():
            state = await source.state()
            begun = _at(tail, state.first_seq - 1)
        case Last():
            return (await _last(tail, source, snapshots, filters, fresh=fresh))._replace(incarnation=incarnation)
        case At():
            begun = _at(tail, await _before(wish.time_ms, source))
        case _:
            assert_never(wish)
    begun = await _limited(begun, tail, source, filters, replay_events)
    return begun._replace(incarnation=incarnation)


def _at(tail: Tail, cursor: int, gap: Gap | None = None) -> Start:
    return Start(tail.incarnation, cursor, tail.position(cursor), gap)


async def _before(time_ms: int, source: Source) -> int:
    """The sequence before the first event stored at or after `time_ms`.

    When there is none (yet, or any more): the leader's last, asked for first. Our own feed may be behind it (then
    events from before that time would come), and one that is stored between the two questions is found by the second.
    """
    state = await source.state()
    for _ in range(_ATTEMPTS):
        first = await source.first_since(time_ms)
        if first is not None:
            return first - 1
        retained = state.first_seq <= state.last_seq
        if not retained or state.last_time_ms is None or state.last_time_ms < time_ms:
            return state.last_seq
        # The replica that answered lags behind the leader.
        await asyncio.sleep(_LAG_SECONDS)
    raise SlipstreamError(Code.UPSTREAM_UNAVAILABLE, "the stream's replicas lag behind its leader", retry_after=1.0)


async def _last(tail: Tail, source: Source, snapshots: Snapshots, filters: Filters, *, fresh: bool) -> Start:
    """The newest event of each topic.

    The first list is read before the reader is told its position, so that a reader that leaves at once and comes back
    with that id does not get the whole history. Where there is none, it goes on after what was the head before the
    read: an event that was stored meanwhile is the newest of its topic, too.
    """
    asked = await snapshots.ask(source, tail.incarnation, filters, tail.ring.last, fresh=fresh)
    cursor = asked.first[0].seq - 1 if asked.first else asked.head
    return _at(tail, cursor)._replace(snapshot=asked.snapshot)


async def _resume(wish: After, tail: Tail, source: Source, filters: Filters, now_ms: int) -> Start:
    position, text = wish
    ring, incarnation = tail.ring, tail.incarnation
    known = ring.time_of(position.seq) if position.epoch == tail.epoch else None
    if known is not None and position.mark in (None, mark_of(known)):
        # The ring holds that very event and all that came after it: nobody has to be asked.
        return _at(tail, position.seq)._replace(place=position)
    verdict, state = await examine(position, source)
    moved = tail.incarnation != incarnation or state.epoch != tail.epoch
    if moved or (known is not None and not isinstance(verdict, Broken)):
        raise SlipstreamError(
            Code.UPSTREAM_UNAVAILABLE, "this pod's feed is being moved to the stream's new state", retry_after=1.0
        )
    if not isinstance(verdict, Broken):
        return _at(tail, position.seq)._replace(place=position)
    cursor = await onward(position, verdict, source, state, now_ms)
    return _at(tail, cursor, gap_of(verdict.reason, text, tail.position(cursor), filters))


async def _limited(begun: Start, tail: Tail, source: Source, filters: Filters, replay_events: int) -> Start:
    """Cut a replay that is larger than the quota to the newest `replay_events` events that match."""
    cursor = begun.cursor
    if tail.ring.last - cursor <= replay_events or tail.ring.covers(cursor):
        return begun
    if not await _exceeds(source, filters, cursor, replay_events):
        return begun
    low, high = cursor, tail.ring.last
    while low + 1 < high:
        middle = (low + high) // 2
        if await _exceeds(source, filters, middle, replay_events):
            low = middle
        else:
            high = middle
    requested = str(begun.place) if begun.gap is None else begun.gap.requested
    # Where filters overlap an event may have been counted twice.
    certain = len(filters.items) == 1 or all(one.literal for one in filters.items)
    return _at(tail, high, Gap(Reason.limited, requested, tail.position(high), certain))


async def _exceeds(source: Source, filters: Filters, after: int, quota: int) -> bool:
    """Whether more than `quota` events after `after` match.

    The stream counts one filter at a time. What covers all of them may count their neighbours, too, and is enough only
    where that stays within the quota.
    """
    if await source.count(filters.narrowest(), after) <= quota:
        return False
    total = 0
    for one in filters.items:
        total += await source.count(one.text, after)
        if total > quota:
            return True
    return False


def replaced() -> SlipstreamError:
    """What a reader is told whose beginning was found in a log that is no longer the tail's: begin again."""
    return SlipstreamError(Code.UPSTREAM_UNAVAILABLE, "the stream was replaced meanwhile", retry_after=0.5)
