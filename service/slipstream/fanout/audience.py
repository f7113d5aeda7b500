"""The connections that see the same bytes, and one round of writing to all of them.

A round is made when an audience's pending frames are sealed: it holds the members of that moment. Whoever joins later
has read those events from the ring, so a member takes part in a round exactly when its floor is not past the round's
beginning. That one comparison is all that a delivery costs beside the write itself.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import NamedTuple

from slipstream.fanout.compression import deflated, stored
from slipstream.fanout.connection import Connection, Owner
from slipstream.fanout.payload import Payload
from slipstream.protocol.frame import chunk
from slipstream.protocol.topic import Filters
from slipstream.shape.look import PLAIN, Look

GATHER_SECONDS = 0.02
"""How long a compressed audience gathers events for a batch while they come fast: ten to a batch halve its bytes."""


class View(NamedTuple):
    """What makes bytes differ: topics, transfer framing, how heartbeats look, content coding, what may be seen."""

    filters: Filters
    chunked: bool
    heartbeat_event: bool
    gzip: bool = False
    look: Look = PLAIN


class Audience:
    """All connections of one view of one tenant.

    `members` are those that rounds write to; `readers` counts also those that are behind. `told` is the sequence that
    the members know of, `beaten_at` when they last heard something.
    """

    __slots__ = ("_roll", "beaten_at", "members", "pending", "readers", "sealed_at", "seqs", "tail", "told", "view")

    def __init__(self, tail: Owner, view: View, now: float) -> None:
        self.tail = tail
        self.view = view
        self.members: dict[Connection, None] = {}
        self.pending: list[bytes] = []
        self.seqs: list[int] = []
        self.readers = 0
        self.beaten_at = now
        self.sealed_at = 0.0
        self.told = 0
        self._roll: tuple[Connection, ...] | None = ()

    @property
    def roll(self) -> tuple[Connection, ...]:
        """The members as they are now, in the order they joined."""
        if self._roll is None:
            self._roll = tuple(self.members)
        return self._roll

    def enter(self, connection: Connection) -> None:
        """Take part in every round that is sealed from now on."""
        self.members[connection] = None
        self._roll = None

    def leave(self, connection: Connection) -> None:
        """Take no more part; rounds already sealed pass over it by its floor."""
        self.members.pop(connection, None)
        self._roll = None

    def frame(self, block: bytes) -> bytes:
        """`block` (whole SSE frames) in this audience's content coding and transfer framing."""
        if self.view.gzip:
            block = stored(block)
        return chunk(block) if self.view.chunked else block

    def wrap(self, frames: list[bytes], seqs: list[int]) -> Payload:
        """SSE frames for readers that are behind, each in this audience's coding and framing.

        With gzip they are stored, not deflated: so each of them can be sent without the ones before it.
        """
        if self.view.gzip or self.view.chunked:
            frames = [self.frame(frame) for frame in frames]
        return Payload(frames, seqs)

    def take_pending(self) -> Payload:
        """What is pending, ready to be written to all members; nothing is pending afterwards."""
        frames, seqs = self.pending, self.seqs
        self.pending, self.seqs = [], []
        if self.view.gzip:
            block = deflated(b"".join(frames))
            return Payload([chunk(block) if self.view.chunked else block], seqs[-1:])
        return Payload(frames, seqs)

    def ripe(self, now: float) -> bool:
        """Whether what is pending should go out: at once, but where batches are compressed not twice in 20 ms."""
        return not self.view.gzip or now - self.sealed_at >= GATHER_SECONDS


class Round:
    """One payload on its way to the members of one audience.

    `before`: the sequence up to which every member had everything. `after`: where a member stands when it has had it
    all. `lag(connection, round, sent)` is told of a socket that did not take everything, `drop` of one that is gone.
    """

    __slots__ = ("_at", "after", "audience", "before", "members", "payload")

    def __init__(self, audience: Audience, payload: Payload, before: int, after: int) -> None:
        self.audience = audience
        self.payload = payload
        self.before = before
        self.after = after
        self.members = audience.roll
        self._at = 0

    def advance(
        self, limit: int, lag: Callable[[Connection, Round, int], None], drop: Callable[[Connection], None]
    ) -> bool:
        """Write to the next `limit` members; True when all have had their turn."""
        write = os.write
        payload, before = self.payload.data, self.before
        size = len(payload)
        end = self._at + limit
        for connection in self.members[self._at : end]:
            if connection.floor <= before:
                try:
                    sent = write(connection.fd, payload)
                except BlockingIOError:
                    lag(connection, self, 0)
                except OSError:
                    drop(connection)
                else:
                    if sent != size:
                        lag(connection, self, sent)
        self._at = end
        return end >= len(self.members)

    def left(self) -> list[Connection]:
        """The members who are still to have their turn."""
        return [one for one in self.members[self._at :] if one.floor <= self.before]
