"""One pod and one tenant without a network: a real `Tail`, the readers that it serves, the stream behind it.

Each method is one thing that can happen. After each of them every reader that is behind has somebody who will drive it
on, and whatever was sent is judged.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import pytest

from slipstream.fanout import broadcast, chase, compression, replay, tail
from slipstream.fanout.audience import View
from slipstream.fanout.compression import GZIP_HEADER
from slipstream.fanout.connection import Connection, Ending, State
from slipstream.fanout.payload import Payloads
from slipstream.fanout.snapshot import Snapshot
from slipstream.fanout.tail import Chase, Tail
from slipstream.log.budget import Budget
from slipstream.log.onward import examine, onward
from slipstream.log.resume import Broken
from slipstream.log.ring import Limits
from slipstream.protocol import control
from slipstream.protocol.control import Reason
from slipstream.protocol.errors import Code, SlipstreamError
from slipstream.protocol.frame import chunk
from slipstream.protocol.position import Position, mark_of
from slipstream.protocol.topic import Filters
from slipstream.shape.shaper import Shaper
from tests.fakes.judge import Judge, Restart
from tests.fakes.loop import VirtualLoop
from tests.fakes.reactor import FakeReactor
from tests.fakes.stream import Chapter, FakeSource, Stream

HEARTBEAT = 15.0
RING = Limits(events=6, size=1 << 20, age_ms=1 << 30)


@dataclass
class Reader:
    connection: Connection
    judge: Judge


class World:
    """Use as a context manager. `chase_of(source)` makes what the tail starts for readers that the ring misses."""

    def __init__(self, chase_of: Callable[[FakeSource], Chase]) -> None:
        self.loop = VirtualLoop()
        self.reactor = FakeReactor()
        self._patch = pytest.MonkeyPatch()
        for module in (tail, broadcast, chase, replay):
            self._patch.setattr(module, "time", self.loop.clock)
        # Small, so that a few events fill them.
        self._patch.setattr("slipstream.fanout.audience.os", self.reactor)
        self._patch.setattr(broadcast, "_TURN", 1)
        self._patch.setattr(tail, "_BLOCK", 4)
        self._patch.setattr(compression, "_WORTH", 300)
        self._patch.setattr(replay, "_BLOCK", 4)
        self._patch.setattr(replay, "_LIMIT", 3)
        self.stream = Stream(now_ms=int(self.loop.clock.time() * 1000))
        self.source = FakeSource(self.stream, instant=False)
        self.restarts: list[Restart] = []
        self.readers: list[Reader] = []
        self._budget = Budget(1 << 20)
        self.payloads = Payloads(2_000)
        self.tail = Tail(
            "t",
            self.reactor.real,
            Shaper(maskers={frozenset(): None}),
            RING,
            self._budget,
            self.payloads,
            heartbeat=HEARTBEAT,
            chase=chase_of(self.source),
        )
        self._feed: Chapter = self.stream.chapter
        self._fed = 0
        self._number = 0
        self.loop.call(lambda: self.tail.restart(self._feed.state, 0, None, None))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.loop.__exit__()
        finally:
            self._patch.undo()

    @property
    def open(self) -> list[Reader]:
        return [one for one in self.readers if one.connection.state is not State.CLOSED]

    def reader(self, which: int) -> Reader | None:
        readers = self.open
        return readers[which % len(readers)] if readers else None

    def check(self) -> None:
        """What holds between any two things that happen."""
        for reader in self.readers:
            connection = reader.connection
            reader.judge.read(self.reactor.wire(connection).taken)
            if connection.state is State.BEHIND:
                tail = self.tail
                driven = connection in tail._early or connection in tail._stale or connection in tail._chases
                sealed_soon = connection.audience in tail._broadcast.touched or tail in self.reactor.marked
                driven |= connection in tail._joining and sealed_soon
                assert driven or connection in self.reactor.waiting, "nobody will ever drive this reader on"
            if connection.state is State.LIVE:
                assert not connection.unsent
                assert connection not in self.reactor.waiting
        for audience in self.tail._broadcast.audiences.values():
            assert len(audience.pending) <= RING.events, "more is pending than the ring holds"
        live = self.tail._broadcast
        gathering = live.touched and self.tail._gathering
        if live.rounds or self.tail._stale or (live.touched and not gathering):
            assert self.tail in self.reactor.marked, "nobody will ever write this round"

    # -- the stream and its feed -------------------------------------------------------------------------------------

    def burst(self, topics: list[str], size: int = 0, faults: int = 0) -> None:
        """Events are published; the first `faults` of them are undeliverable."""
        for number, topic in enumerate(topics):
            self.stream.store(topic, size=size, fault="no text" if number < faults else None)

    def lag(self) -> None:
        self.stream.lag()

    def catch_up(self) -> None:
        self.stream.catch_up()

    def evict(self, count: int) -> None:
        self.stream.evict(count)

    def feed(self, count: int) -> None:
        """The feed's consumer delivers: nothing where its stream is another one, as that ends the consumer."""
        if self._feed is not self.stream.chapter:
            return
        for record in self.stream.copies(self._feed.retained(self._fed)[:count]):
            if record.seq != self._fed + 1:
                self._restart(self._feed, record.seq - 1, None, Reason.expired)
            self._fed = record.seq
            self.loop.call(lambda record=record: self.tail.append(record))  # type: ignore[misc]

    def look(self) -> None:
        """The feed's consumer is lost, and the feed checks its past."""
        self.loop.run_until_complete(self._look())

    async def _look(self) -> None:
        source = FakeSource(self.stream, instant=True)
        newest = self._feed.events.get(self._fed)
        position = Position(self._feed.epoch, self._fed, mark_of(newest.time_ms) if newest else None)
        verdict, state = await examine(position, source)
        chapter = self.stream.chapter
        if isinstance(verdict, Broken):
            try:
                base = await onward(position, verdict, source, state, self.stream.now_ms)
            except SlipstreamError:
                # The replica is behind: the feed looks again later.
                return
            time_ms = await source.time_of(base) if base else None
            self._fed = base
            self.restarts.append(Restart(verdict.reason.value, base, chapter))
            self.tail.restart(state, base, time_ms, verdict.reason)
        self._feed = chapter

    def _restart(self, chapter: Chapter, base: int, time_ms: int | None, reason: Reason) -> None:
        self.restarts.append(Restart(reason.value, base, chapter))
        self.loop.call(lambda: self.tail.restart(chapter.state, base, time_ms, reason))

    def recreate(self) -> None:
        self.stream.recreate()

    def rewrite(self, lost: int, again: int) -> None:
        """The stream loses what the feed had last. The feed notices at once: a replay that runs meanwhile cannot."""
        last = self._fed - lost
        if self._feed is not self.stream.chapter or last < self._feed.first - 1:
            return
        self.stream.rewrite(last)
        for _ in range(again):
            self.stream.store("a")
        self.look()

    def trim(self, count: int) -> None:
        """Other tenants need the ring's memory."""
        self.tail.ring.trim(count * 300)
        self._budget.settle(self.tail.ring)

    def reshape(self) -> None:
        """The tenant's document changes, though not how its events look."""
        for reader in self.open:
            if reader.connection.snapshot is not None:
                # All events from where it stands, instead of the newest of each topic.
                reader.judge.snapshot.clear()
        self.loop.call(lambda: self.tail.reshape(Shaper(maskers={frozenset(): None})))

    # -- readers -----------------------------------------------------------------------------------------------------

    def join(self, topics: list[str], where: int, how: tuple[bool, bool, bool] = (False,) * 3) -> Reader | None:
        """A client comes, with a position that is true. `how`: chunked, heartbeats as events, gzip."""
        chapter = self.stream.chapter
        if self._feed is not chapter:
            return None
        low, high = chapter.first - 1, chapter.last
        return self._admit(View(Filters.parse(topics), *how), low + where % (high - low + 1), snapshot=False)

    def join_last(self, topics: list[str]) -> Reader | None:
        """A client comes that asks for the newest event of each topic."""
        if self._feed is not self.stream.chapter:
            return None
        return self._admit(View(Filters.parse(topics), chunked=True, heartbeat_event=False), 0, snapshot=True)

    def _admit(self, view: View, cursor: int, *, snapshot: bool) -> Reader:
        chapter = self.stream.chapter
        newest = {one.topic: one for one in chapter.retained(0) if view.filters.matches(one.topic)}
        promised = sorted(newest.values(), key=lambda one: one.seq) if snapshot else []
        if snapshot:
            cursor = promised[0].seq - 1 if promised else self.tail.ring.last
        self._number += 1
        audience = self.tail.audience(view)
        connection = self.reactor.open(self._number, audience, cursor)
        if promised:
            connection.snapshot = Snapshot(self.source.snapshot(view.filters))
        judge = Judge(view, chapter, cursor, self.restarts)
        judge.snapshot.extend(promised)
        reader = Reader(connection, judge)
        self.readers.append(reader)
        place = self.tail.position(cursor)
        head = control.ready(place, stream="s", tenant="t", topics=view.filters.texts, heartbeat_ms=15_000)
        first = GZIP_HEADER if view.gzip else b""
        if first and view.chunked:
            first = chunk(first)
        self.loop.call(lambda: self.tail.admit(connection, first + audience.frame(head)))
        return reader

    def vanish(self, which: int) -> None:
        """A peer is gone, and the next write will meet it."""
        reader = self.reader(which)
        if reader is not None:
            self.reactor.wire(reader.connection).gone = True

    def leave(self, which: int) -> None:
        """A peer is gone, and epoll says so."""
        reader = self.reader(which)
        if reader is not None:
            self.reactor.wire(reader.connection).gone = True
            self.loop.call(lambda: self.reactor.drop(reader.connection))

    def tell(self, which: int) -> None:
        """One reader alone is told something."""
        reader = self.reader(which)
        if reader is not None:
            reader.judge.owed += 1
            self.loop.call(lambda: self.tail.tell_one(reader.connection, control.expiring(1)))

    def close(self, which: int) -> None:
        reader = self.reader(which)
        if reader is not None:
            final = control.error(Code.DRAINING, "bye", retry=True, trace_id=None)
            self.loop.call(lambda: self.reactor.close(reader.connection, Ending.DRAIN, final))

    def squeeze(self, which: int, room: int) -> None:
        """A socket takes so many bytes more."""
        reader = self.reader(which)
        if reader is not None:
            self.reactor.wire(reader.connection).room = room

    def allow(self, which: int, writes: int) -> None:
        """A socket takes so many writes more, whole."""
        reader = self.reader(which)
        if reader is not None:
            self.reactor.wire(reader.connection).writes = writes

    def cut(self, which: int, frames: int) -> None:
        """A socket takes so many frames more."""
        reader = self.reader(which)
        if reader is not None:
            self.reactor.wire(reader.connection).frames = frames

    def drain(self, which: int) -> None:
        """A peer has read all; epoll says so later (`writable`)."""
        reader = self.reader(which)
        if reader is not None:
            self.reactor.wire(reader.connection).free()

    def writable(self, which: int) -> None:
        reader = self.reader(which)
        if reader is not None:
            self.loop.call(lambda: self.reactor.writable(reader.connection))

    # -- the loop ----------------------------------------------------------------------------------------------------

    def step(self) -> None:
        """The tail gets the loop until it has nothing left to do."""
        self.loop.call(lambda: self.reactor.step(float("inf")))

    def slice(self) -> None:
        """The tail gets the loop for as little as can be."""
        self.loop.call(lambda: self.reactor.step(float("-inf")))

    def turn(self, times: int) -> None:
        self.loop.turn(times)

    def answer(self, which: int) -> None:
        self.source.answer(which)
        self.loop.turn(3)

    def answers(self, count: int) -> None:
        for _ in range(count):
            self.answer(0)

    def fail(self, which: int) -> None:
        self.source.fail(which)
        self.loop.turn(3)

    def wait(self, seconds: float) -> None:
        self.loop.wait(seconds)

    def beat(self, seconds: float) -> None:
        self.loop.wait(seconds)
        self.loop.call(lambda: self.tail.beat(self.loop.clock.monotonic()))

    # -- the end -----------------------------------------------------------------------------------------------------

    def settle(self) -> None:
        """All obstacles are taken away: everyone gets to the head, has got everything, and hears a heartbeat."""
        self.stream.catch_up()
        self.source.instant = True
        self.look()
        self._run(lambda reader: self.reactor.wire(reader.connection).full)
        assert not self.tail._chases, "a reader whose socket is full holds a task"
        for reader in self.open:
            self.reactor.wire(reader.connection).free()
        self._run(lambda _: False)
        last = self.stream.chapter.last
        assert self._fed == last
        for reader in self.open:
            reader.judge.complete(last)
            assert reader.judge.chapter.epoch == self.stream.chapter.epoch
        self.burst(["quiet"])
        self.feed(1)
        self._heartbeats()
        assert all(one.judge.position == last + 1 for one in self.open), "an id grows old while the log moves on"
        assert len(self.tail) == len(self.reactor.adopted) == len(self.open)
        assert not self.tail._chases
        self.source.instant = False

    def _run(self, excused: Callable[[Reader], bool]) -> None:
        """Everything that can happen by itself does, until all readers are at the head, but for those excused."""
        late: list[Reader] = []
        for _ in range(40):
            while self.source.gates:
                self.answer(0)
            self.feed(1 << 30)
            self.step()
            for connection in list(self.reactor.waiting):
                self.loop.call(lambda connection=connection: self.reactor.writable(connection))  # type: ignore[misc]
            self.wait(0.3)
            self.check()
            late = [one for one in self.open if one.connection.state is not State.LIVE and not excused(one)]
            if not late and not self.reactor.marked:
                return
        raise AssertionError(f"readers {[one.connection.number for one in late]} never got to the head")

    def _heartbeats(self) -> None:
        here: list[tuple[Judge, int, int]] = []
        for _ in range(2):
            before = [(one, one.judge.heard, one.judge.checkpoints) for one in self.open]
            self.beat(HEARTBEAT + 0.01)
            self.step()
            self.check()
            here = [(one.judge, heard, told) for one, heard, told in before if one in self.open]
            assert all(judge.heard > heard for judge, heard, _ in here), "a reader heard no heartbeat"
        assert all(judge.checkpoints == told for judge, _, told in here), "a checkpoint that tells nothing new"
        assert not any(self.reactor.wire(one.connection).gone for one in self.open), "a dead peer went unnoticed"
