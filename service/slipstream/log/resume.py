"""Is a client's position still true? The verdict, without the I/O it may need.

The rules are those of the design's "Event id": another epoch is a `reset`, a sequence past the leader's last is
`ahead`, one that lies just before the first retained is complete, an older one is `expired`, and every other one must
still exist with the mark it was sent with, else the history under it was `rewritten`. Never judge loss by arithmetic
on a client's ids: the numbers that a filtered client has seen are sparse.
"""

from __future__ import annotations

from typing import NamedTuple

from slipstream.log.source import State
from slipstream.protocol.control import Gap, Reason
from slipstream.protocol.position import Position, mark_of
from slipstream.protocol.topic import Filters


class Continue(NamedTuple):
    """Nothing is missing: go on with the next event."""


class Check(NamedTuple):
    """The answer depends on whether the event `seq` is still what it was: read it, then ask `judge_anchor`."""

    seq: int


class Broken(NamedTuple):
    """What the client had seen last is no longer the past of this stream."""

    reason: Reason


Verdict = Continue | Check | Broken


def judge(position: Position, state: State) -> Verdict:
    """What the leader's state alone says of `position`."""
    if position.epoch != state.epoch:
        return Broken(Reason.reset)
    if position.seq > state.last_seq:
        return Broken(Reason.ahead)
    if position.seq == state.last_seq:
        if position.mark is None or state.last_time_ms is None or mark_of(state.last_time_ms) == position.mark:
            return Continue()
        return Broken(Reason.rewritten)
    if position.seq == state.first_seq - 1:
        return Continue()
    if position.seq < state.first_seq:
        return Broken(Reason.expired)
    return Check(position.seq)


def judge_anchor(position: Position, time_ms: int | None) -> Verdict:
    """What the event at the position's own sequence says: `time_ms` is its stored time, None when it is not there."""
    if time_ms is None:
        return Broken(Reason.rewritten)
    if position.mark is not None and mark_of(time_ms) != position.mark:
        return Broken(Reason.rewritten)
    return Continue()


def gap_of(reason: Reason, requested: Position | str, place: Position, filters: Filters) -> Gap:
    """What a reader is told that stood at `requested` and goes on after `place`.

    It is certain only that expired events are missing, and only for a reader of everything: which of them matched its
    filters nobody knows any more, and nothing is known of the past of another log.
    """
    return Gap(reason, str(requested), place, certain=reason is Reason.expired and filters.everything)
