"""A stream with its lives, as the leader and a lagging replica see it, and a `Source` whose answers wait to be let go.

A chapter is one history: a stream that is made anew, or loses its tail and uses the numbers again, begins another one.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field

from slipstream.log.source import Batch, State
from slipstream.protocol.errors import Code, SlipstreamError
from slipstream.protocol.event import Record
from slipstream.protocol.topic import Filter, Filters


@dataclass
class Chapter:
    """`events`: all that was ever stored in it, by sequence; `first`: the oldest retained."""

    epoch: str
    events: dict[int, Record] = field(default_factory=dict)
    first: int = 1
    last: int = 0

    @property
    def state(self) -> State:
        newest = self.events.get(self.last)
        return State(self.epoch, self.first, self.last, newest.time_ms if newest else None)

    def retained(self, after: int, pattern: str = ">", last: int | None = None) -> list[Record]:
        """The retained records after `after` that match, up to `last`."""
        wanted = Filter.parse(pattern)
        end = self.last if last is None else last
        seqs = range(max(after + 1, self.first), end + 1)
        return [self.events[seq] for seq in seqs if wanted.matches(self.events[seq].topic)]


class Stream:
    """The leader. `replica_last` is how far the replica is that answers reads."""

    def __init__(self, now_ms: int) -> None:
        self.now_ms = now_ms
        self.chapters = [Chapter("epoch000")]
        self.replica_last: int | None = None
        self._stored = 0

    @property
    def chapter(self) -> Chapter:
        return self.chapters[-1]

    def store(self, topic: str, *, size: int = 0, fault: str | None = None) -> Record:
        """One more event; its data is told by no other one."""
        chapter = self.chapter
        self.now_ms += 10
        self._stored += 1
        chapter.last += 1
        data = b"" if fault else b"%d %s" % (self._stored, b"x" * size)
        record = Record(chapter.last, self.now_ms, topic, "", data, fault=fault)
        chapter.events[record.seq] = record
        return record

    def evict(self, count: int) -> None:
        """Retention takes the oldest."""
        chapter = self.chapter
        chapter.first = min(chapter.first + count, chapter.last + 1)

    def recreate(self) -> None:
        """The stream is deleted and made anew, empty."""
        self.now_ms += 10
        self.replica_last = None
        self.chapters.append(Chapter(f"epoch{len(self.chapters):03d}"))

    def rewrite(self, last: int) -> None:
        """The events after `last` are gone, and their numbers will be used again."""
        old = self.chapter
        self.now_ms += 10
        self.replica_last = None
        events = {seq: record for seq, record in old.events.items() if seq <= last}
        self.chapters.append(Chapter(old.epoch, events, old.first, last))

    def lag(self) -> None:
        """The replica stands still from now on."""
        if self.replica_last is None:
            self.replica_last = self.chapter.last

    def catch_up(self) -> None:
        self.replica_last = None

    def copies(self, records: list[Record]) -> list[Record]:
        """Records as they come off the wire: nobody else's objects, without a frame."""
        return [Record(one.seq, one.time_ms, one.topic, one.event, one.data, fault=one.fault) for one in records]


class FakeSource:
    """Answers what the stream is at the moment when it is let go (`answer`), or at once where `instant`."""

    def __init__(self, stream: Stream, *, instant: bool) -> None:
        self.stream = stream
        self.instant = instant
        self.gates: deque[asyncio.Future[None]] = deque()
        self.asked = 0

    async def prepare(self, records: list[Record]) -> list[Record]:
        return records

    def answer(self, which: int) -> None:
        """Let one question go one half of its way: there, then back."""
        if self.gates:
            index = which % len(self.gates)
            gate = self.gates[index]
            del self.gates[index]
            if not gate.done():
                gate.set_result(None)

    def fail(self, which: int) -> None:
        """Nobody answers one question."""
        if self.gates:
            index = which % len(self.gates)
            gate = self.gates[index]
            del self.gates[index]
            if not gate.done():
                gate.set_exception(SlipstreamError(Code.UPSTREAM_UNAVAILABLE, "away"))

    async def _way(self) -> None:
        self.asked += 1
        if not self.instant:
            gate = asyncio.get_running_loop().create_future()
            self.gates.append(gate)
            await gate

    async def state(self) -> State:
        await self._way()
        state = self.stream.chapter.state
        await self._way()
        return state

    async def read(self, pattern: str, after: int, limit: int) -> Batch:
        await self._way()
        stream = self.stream
        found = stream.chapter.retained(after, pattern, stream.replica_last)
        batch = Batch(stream.copies(found[:limit]), len(found[limit:]))
        await self._way()
        return batch

    async def count(self, pattern: str, after: int) -> int:
        await self._way()
        return len(self.stream.chapter.retained(after, pattern, self.stream.replica_last))

    async def last_match(self, pattern: str) -> int:
        await self._way()
        found = self.stream.chapter.retained(0, pattern)
        await self._way()
        return found[-1].seq if found else 0

    async def first_since(self, time_ms: int) -> int | None:
        await self._way()
        known = self.stream.chapter.retained(0, last=self.stream.replica_last)
        found = [record.seq for record in known if record.time_ms >= time_ms]
        return found[0] if found else None

    async def time_of(self, seq: int) -> int | None:
        await self._way()
        found = self.stream.chapter.retained(seq - 1)
        return found[0].time_ms if found and found[0].seq == seq else None

    def snapshot(self, filters: Filters) -> AsyncGenerator[list[Record], None]:
        newest = {one.topic: one for one in self.stream.chapter.retained(0) if filters.matches(one.topic)}
        return self._batches(sorted(newest.values(), key=lambda one: one.seq))

    async def _batches(self, records: list[Record]) -> AsyncGenerator[list[Record], None]:
        for begin in range(0, len(records), 3):
            await self._way()
            yield self.stream.copies(records[begin : begin + 3])
