"""Where a reader goes on whose past is gone: asks a `Source`, decides nothing that `resume` has not decided."""

from __future__ import annotations

from slipstream.log.resume import Broken, Check, Verdict, judge, judge_anchor
from slipstream.log.source import Source, State
from slipstream.protocol.control import Reason
from slipstream.protocol.errors import Code, SlipstreamError
from slipstream.protocol.position import Position, time_near


async def examine(position: Position, source: Source) -> tuple[Verdict, State]:
    """The verdict on `position` by the leader, reading the event under it where the rules ask for that."""
    state = await source.state()
    verdict = judge(position, state)
    if not isinstance(verdict, Check):
        return verdict, state
    time_ms = await source.time_of(verdict.seq)
    if time_ms is None:
        # It may have been evicted between the two answers: then it is expired, not rewritten.
        state = await source.state()
        verdict = judge(position, state)
        if not isinstance(verdict, Check):
            return verdict, state
    return judge_anchor(position, time_ms), state


async def onward(position: Position, broken: Broken, source: Source, state: State, now_ms: int) -> int:
    """The sequence after which the stream goes on for a reader whose `position` is `broken`.

    An expired one goes on at the first retained event; every other one at the first event stored after its mark,
    else (no mark, or nothing stored since) at the first retained. But where the log lost its tail and stored nothing
    since, all that it retains is older than what an `ahead` one has seen: that one goes on at the end. `now_ms` says
    in which turn of the mark's 49 days we are.

    Raises UPSTREAM_UNAVAILABLE while the replica that answers is behind the leader whose `state` this is.
    """
    if broken.reason is not Reason.expired and position.mark is not None:
        seen_ms = time_near(position.mark, now_ms)
        first = await source.first_since(seen_ms + 1)
        if first is not None:
            return max(first, state.first_seq) - 1
        if state.first_seq <= state.last_seq and state.last_time_ms is not None and state.last_time_ms > seen_ms:
            raise SlipstreamError(
                Code.UPSTREAM_UNAVAILABLE, "a replica of the stream is behind its leader: try again", retry_after=0.5
            )
        if broken.reason is Reason.ahead:
            return state.last_seq
    return state.first_seq - 1
