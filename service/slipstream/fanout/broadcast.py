"""What live readers get: the audiences of one tail, what is pending for each of them, and the rounds under way.

An event is offered to the audiences whose filters match it and waits there until the loop's next turn; then all that is
pending for an audience is sealed into one round, which is written to its members slice by slice.
"""

from __future__ import annotations

import random
import time
from collections import deque
from collections.abc import Callable

from slipstream.fanout.audience import Audience, Round, View
from slipstream.fanout.connection import PARKED, Connection, Owner
from slipstream.fanout.encode import Encoder
from slipstream.fanout.payload import Payload
from slipstream.log.index import Index
from slipstream.protocol import control
from slipstream.protocol.event import Record
from slipstream.protocol.frame import chunk, comment
from slipstream.protocol.position import Position

_TURN = 256
_EARLY = 0.2
"""Part of a heartbeat by which one may come sooner, by chance: audiences and pods that fell quiet together drift apart.
Never later: a peer is judged by it (pulse.py)."""


class Broadcast:
    """All audiences of `tail`. `heartbeat` in seconds; `lag` and `drop` are told as by `Round`.

    `last` is the newest sequence that was offered, matched or not.
    """

    def __init__(
        self,
        tail: Owner,
        heartbeat: float,
        lag: Callable[[Connection, Round, int], None],
        drop: Callable[[Connection], None],
    ) -> None:
        self._tail = tail
        self._heartbeat = heartbeat
        self._lag = lag
        self._drop = drop
        self._index: Index[Audience] = Index()
        self.audiences: dict[View, Audience] = {}
        self.touched: dict[Audience, None] = {}
        self.rounds: deque[Round] = deque()
        self.last = 0

    def __len__(self) -> int:
        return sum(len(audience.members) for audience in self.audiences.values())

    # -- audiences ---------------------------------------------------------------------------------------------------

    def audience(self, view: View) -> Audience:
        """The audience of `view`, made when it is the first of its kind."""
        audience = self.audiences.get(view)
        if audience is None:
            audience = Audience(self._tail, view, time.monotonic())
            audience.told = self.last
            self.audiences[view] = audience
            self._index.add(view.filters, audience)
        return audience

    def forget(self, audience: Audience) -> None:
        """Nobody is left who reads it."""
        del self.audiences[audience.view]
        self._index.remove(audience.view.filters, audience)
        self.touched.pop(audience, None)

    # -- from the log ------------------------------------------------------------------------------------------------

    def offer(self, record: Record, encoder: Encoder, limit: int) -> list[Audience]:
        """Take the next event; the audiences for which more than `limit` events are pending now."""
        self.last = record.seq
        overrun: list[Audience] = []
        look, frame, chunked = None, b"", b""
        for audience in self._index.match(record.topic):
            view = audience.view
            if view.look is not look:
                look = view.look
                frame = encoder.frame(record, look)
                chunked = chunk(frame) if frame else b""
            if not frame:
                continue
            audience.pending.append(chunked if view.chunked and not view.gzip else frame)
            audience.seqs.append(record.seq)
            self.touched[audience] = None
            if len(audience.pending) > limit:
                overrun.append(audience)
        return overrun

    def overrun(self, audience: Audience) -> dict[Connection, int]:
        """Give up what is pending for an audience: its members, each with the place that it has everything up to.

        Rounds under way had brought some of them further than others. None is a member any more.
        """
        place = dict.fromkeys(audience.members, audience.seqs[0] - 1)
        for round_ in reversed(self.rounds):
            if round_.audience is audience:
                place.update((one, round_.before) for one in round_.left() if one in place)
        audience.pending, audience.seqs = [], []
        self.touched.pop(audience, None)
        return {one: max(cursor, one.floor) for one, cursor in place.items()}

    def restart(self, base: int, block: Callable[[Audience], bytes]) -> None:
        """Tell all members `block(audience)`, at once; from then on they are at `base` of another log."""
        self.finish()
        for audience in self.audiences.values():
            if audience.members:
                self.rounds.append(Round(audience, Payload([block(audience)], [base]), PARKED - 1, base))
        self.finish()
        for audience in self.audiences.values():
            audience.told = base
            for connection in audience.members:
                connection.floor = base

    # -- to the sockets ----------------------------------------------------------------------------------------------

    def gather(self) -> None:
        """Seal what is ripe; what is left in `touched` wants to wait for more."""
        now = time.monotonic()
        for audience in [one for one in self.touched if one.ripe(now)]:
            self._seal(audience)
            del self.touched[audience]

    def advance(self) -> None:
        """Write the first round to some more members."""
        if self.rounds[0].advance(_TURN, self._lag, self._drop):
            self.rounds.popleft()

    def finish(self) -> None:
        """Write everything to everybody now."""
        for audience in self.touched:
            self._seal(audience)
        self.touched.clear()
        while self.rounds:
            self.rounds.popleft().advance(1 << 30, self._lag, self._drop)

    def beat(self, now: float, place: Position) -> None:
        """Say something to every audience that has heard nothing for a heartbeat (`now` in monotonic seconds).

        One whose topics were quiet while the log moved on gets a checkpoint at `place`, the head, so that its members'
        ids do not grow old; any other one a heartbeat.
        """
        for audience in self.audiences.values():
            if not audience.members or now - audience.beaten_at < self._heartbeat:
                continue
            self._seal(audience)
            self.touched.pop(audience, None)
            if place.seq > audience.told:
                block = control.checkpoint(place)
                audience.told = place.seq
            else:
                block = heartbeat(audience)
            audience.beaten_at = now - self._heartbeat * _EARLY * random.random()  # noqa: S311 jitter is no secret
            payload = Payload([audience.frame(block)], [place.seq])
            self.rounds.append(Round(audience, payload, place.seq, place.seq))

    def _seal(self, audience: Audience) -> None:
        if not audience.pending:
            return
        before = audience.seqs[0] - 1
        audience.beaten_at = audience.sealed_at = time.monotonic()
        audience.told = audience.seqs[-1]
        if audience.members:
            self.rounds.append(Round(audience, audience.take_pending(), before, self.last))
        else:
            audience.pending, audience.seqs = [], []


def heartbeat(audience: Audience) -> bytes:
    """A sign of life in the form that the audience asked for."""
    return control.heartbeat(int(time.time() * 1000)) if audience.view.heartbeat_event else comment()
