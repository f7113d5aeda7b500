"""The connections that see the same bytes, and one round of writing to all of them.

A round is made when an audience's pending frames are sealed: it holds the members of that moment. Whoever joins later
has read those events from the ring, so a member takes part in a round exactly when its floor is not past the round's
beginning. That one comparison is all that a delivery costs beside the write itself.
"""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Callable
from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple

from slipstream.fanout.compression import deflated, stored
from slipstream.fanout.connection import Connection
from slipstream.protocol.frame import chunk
from slipstream.protocol.topic import Filters

if TYPE_CHECKING:
    from slipstream.fanout.tail import Tail


GATHER_SECONDS = 0.02
"""How long a compressed audience gathers events for a batch while they come fast: ten to a batch halve its bytes."""


class View(NamedTuple):
    """What makes bytes differ: the topics, the transfer framing, how heartbeats look, and the content coding."""

    filters: Filters
    chunked: bool
    heartbeat_event: bool
    gzip: bool = False


class Audience:
    """All connections of one view of one tenant.

    `members` are those that rounds write to; `readers` counts also those that are behind. `told` is the sequence that
    the members know of, `beaten_at` when they last heard something.
    """

    __slots__ = ("_roll", "beaten_at", "members", "pending", "readers", "sealed_at", "seqs", "tail", "told", "view")

    def __init__(self, tail: Tail, view: View, now: float) -> None:
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

    def wrap(self, frames: list[bytes], seqs: list[int]) -> tuple[list[bytes], list[int]]:
        """SSE frames for one reader in this audience's coding and framing, with what each brings the reader to.

        What is compressed can only be sent whole, so there a batch is one frame. It is stored, not deflated: that
        would be work for one reader alone.
        """
        if self.view.gzip and frames:
            return [self.frame(b"".join(frames))], seqs[-1:]
        return ([chunk(frame) for frame in frames] if self.view.chunked else frames), seqs

    def take_pending(self) -> tuple[list[bytes], list[int]]:
        """What is pending, ready to be written to all members; nothing is pending afterwards."""
        frames, seqs = self.pending, self.seqs
        self.pending, self.seqs = [], []
        if self.view.gzip and frames:
            block = deflated(b"".join(frames))
            return [chunk(block) if self.view.chunked else block], seqs[-1:]
        return frames, seqs

    def ripe(self, now: float) -> bool:
        """Whether what is pending should go out: at once, but where batches are compressed not twice in 20 ms."""
        return not self.view.gzip or now - self.sealed_at >= GATHER_SECONDS


class Cut(NamedTuple):
    """Where a write stopped: everything up to `cursor` is sent but for `rest` of that last frame."""

    cursor: int
    rest: bytes


def cut(frames: list[bytes], seqs: list[int], sent: int, before: int, after: int) -> Cut:
    """What is left of `frames` (each with the sequence it brings the reader to) when `sent` bytes went out.

    Only the rest of the frame that was torn is kept; those behind it are read again from the ring.
    """
    ends = list(accumulate(map(len, frames)))
    whole = bisect_right(ends, sent)
    if whole == len(frames):
        return Cut(after, b"")
    begun = ends[whole - 1] if whole else 0
    if sent == begun:
        return Cut(max(before, seqs[whole - 1]) if whole else before, b"")
    return Cut(seqs[whole], frames[whole][sent - begun :])


class Round:
    """One payload on its way to the members of one audience.

    `before`: the sequence up to which every member had everything. `after`: where a member stands when it has had it
    all. `lag(connection, round, sent)` is told of a socket that did not take everything, `drop` of one that is gone.
    """

    __slots__ = ("_at", "after", "audience", "before", "frames", "members", "payload", "seqs")

    def __init__(self, audience: Audience, frames: list[bytes], seqs: list[int], before: int, after: int) -> None:
        self.audience = audience
        self.frames = frames
        self.seqs = seqs
        self.payload = frames[0] if len(frames) == 1 else b"".join(frames)
        self.before = before
        self.after = after
        self.members = audience.roll
        self._at = 0

    def advance(
        self, limit: int, lag: Callable[[Connection, Round, int], None], drop: Callable[[Connection], None]
    ) -> bool:
        """Write to the next `limit` members; True when all have had their turn."""
        write = os.write
        payload, size, before = self.payload, len(self.payload), self.before
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
