"""How a reader that is behind gets to the head: the next step, decided from numbers alone.

A reader attaches first and reads afterwards: from that moment every new event is in the ring. It then chases its
cursor through the stream and the ring until it reaches the head, and becomes live in the same step. Where a filtered
replay ends cannot be told by an empty answer (a replica may lag): it ends at the fence, the newest matching event by
the leader, asked for after the ring's head was noted. All that matches and is not newer than that head is then known
to lie at or before the fence, or to have been evicted before the stream's first: a cursor which has passed the fence,
and whose next event is retained, may jump to that head.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import NamedTuple

from slipstream.log.source import State


class Fence(NamedTuple):
    """`last_match`: the newest matching sequence by the leader. `head`: the ring's last sequence before asking.

    `state`: what the leader said of the stream after that.
    """

    last_match: int
    head: int
    state: State


class Step(Enum):
    """What a chasing reader does next."""

    LIVE = auto()  # at the head: join the audience
    WAIT = auto()  # ahead of this pod's own feed: the head will come
    RING = auto()  # the ring covers the cursor: send from it
    FENCE = auto()  # ask for a fence, then decide again
    JUMP = auto()  # nothing matching is left before the fence's head: move the cursor there
    REPLAY = auto()  # read the stream after the cursor


def step(cursor: int, base: int, last: int, fence: Fence | None) -> Step:
    """The next step of a reader at `cursor` beside a ring that covers (`base`, `last`].

    The caller must drop a fence once it has been used for a JUMP: when the ring was trimmed past the cursor
    meanwhile, the next replay needs a new one.
    """
    if cursor > last:
        return Step.WAIT
    if cursor == last:
        return Step.LIVE
    if cursor >= base:
        return Step.RING
    if fence is None:
        return Step.FENCE
    if cursor < max(fence.last_match, fence.state.first_seq - 1):
        return Step.REPLAY
    return Step.JUMP if fence.head > cursor else Step.FENCE
