"""One read of the newest of each topic for all who ask within a second. Time is virtual, and lists come when let go."""

import asyncio
import random
from collections import deque
from collections.abc import AsyncGenerator, Iterator

import pytest

from slipstream.fanout import flight as flights
from slipstream.fanout import snapshot as snapshots
from slipstream.fanout.snapshot import Asked, Snapshot, Snapshots
from slipstream.protocol.errors import Code, SlipstreamError
from slipstream.protocol.event import Record
from slipstream.protocol.topic import Filters
from tests.fakes.loop import VirtualLoop
from tests.fakes.stream import FakeSource, Stream

ALL = Filters.parse([])
LIST = 3


class Topics(FakeSource):
    """A stream whose newest events come in lists of three. `reads`: how many are open now; `begun`: ever."""

    def __init__(self, topics: int) -> None:
        super().__init__(Stream(0), instant=True)
        self.reads = 0
        self.begun = 0
        for number in range(topics):
            self.stream.store(f"t.{number}")

    def snapshot(self, filters: Filters) -> AsyncGenerator[list[Record], None]:
        return self._watched(filters)

    async def _watched(self, filters: Filters) -> AsyncGenerator[list[Record], None]:
        self.reads += 1
        self.begun += 1
        try:
            async for batch in super().snapshot(filters):
                yield batch
        finally:
            self.reads -= 1

    @property
    def newest(self) -> dict[str, int]:
        return {one.topic: one.seq for one in self.stream.chapter.retained(0)}


class Pod:
    """Asks one after the other, and everybody takes when told to."""

    def __init__(self, loop: VirtualLoop, topics: int, slots: int = 4) -> None:
        self.loop = loop
        self.source = Topics(topics)
        self.snapshots = Snapshots(slots)

    def ask(self, filters: Filters = ALL, *, fresh: bool = False) -> asyncio.Task[Asked]:
        last = self.source.stream.chapter.last
        return self.loop.call(
            lambda: asyncio.ensure_future(self.snapshots.ask(self.source, 1, filters, last, fresh=fresh))
        )

    def asked(self, filters: Filters = ALL, *, fresh: bool = False) -> Snapshot:
        """One more reader, with its first list in hand."""
        asked = self.ask(filters, fresh=fresh)
        self.loop.turn(8)
        snapshot = asked.result().snapshot
        assert snapshot is not None
        return snapshot

    def rest(self, snapshot: Snapshot, cursor: int = 0) -> list[int]:
        """All that it still has, taken at once, and closed."""

        async def take() -> list[int]:
            found: list[int] = []
            while records := await snapshot.after(found[-1] if found else cursor):
                found += [one.seq for one in records]
            await snapshot.aclose()
            return found

        return self.loop.run_until_complete(take())


@pytest.fixture
def loop() -> Iterator[VirtualLoop]:
    with VirtualLoop() as loop:
        yield loop


def test_whoever_asks_within_a_second_shares_one_read_and_has_all_of_it(loop: VirtualLoop) -> None:
    pod = Pod(loop, 20)
    first = pod.asked()
    loop.wait(0.9)
    second = pod.asked()
    assert pod.rest(second) == pod.rest(first) == list(range(1, 21))
    assert pod.source.begun == 1


def test_reads_of_another_tenant_that_are_not_answered_keep_nobody_waiting(loop: VirtualLoop) -> None:
    class Silent(Topics):
        async def _watched(self, filters: Filters) -> AsyncGenerator[list[Record], None]:
            await asyncio.get_running_loop().create_future()
            yield []

    pod, well = Pod(loop, 20), Topics(3)
    pod.source = Silent(0)
    waiting = [pod.ask(Filters.parse([f"t.{number}"])) for number in range(20)]
    loop.turn(8)
    pod.source = well
    assert pod.rest(pod.asked()) == [1, 2, 3]
    assert not any(one.done() for one in waiting)


def test_what_comes_later_is_read_anew(loop: VirtualLoop) -> None:
    pod = Pod(loop, 20)
    first = pod.asked()
    loop.wait(flights.WINDOW_SECONDS)
    pod.source.stream.store("t.0")
    assert pod.rest(pod.asked()) == list(range(2, 22))
    assert pod.rest(first) == list(range(1, 21))
    assert pod.source.begun == 2


def test_other_filters_and_other_logs_are_other_reads(loop: VirtualLoop) -> None:
    pod = Pod(loop, 5)
    everything = pod.asked()
    few = pod.asked(Filters.parse(["t.1", "t.3"]))
    last = loop.run_until_complete(pod.snapshots.ask(pod.source, 2, ALL, 5, fresh=False))
    assert last.snapshot is not None
    assert pod.rest(few) == [2, 4]
    assert pod.rest(everything) == pod.rest(last.snapshot)
    assert pod.source.begun == 3


def test_who_wants_it_fresh_gets_what_was_stored_before_it_asked(loop: VirtualLoop) -> None:
    pod = Pod(loop, 5)
    stale = pod.asked()
    pod.source.stream.store("t.0")
    assert pod.rest(pod.asked(fresh=True)) == [2, 3, 4, 5, 6]
    assert pod.rest(stale) == [1, 2, 3, 4, 5]


def test_where_there_is_nothing_one_goes_on_after_what_was_the_head_before(loop: VirtualLoop) -> None:
    """An event that came between the read and a late reader is new to that reader, too."""
    pod = Pod(loop, 5)
    other = Filters.parse(["other"])
    assert loop.run_until_complete(pod.ask(other)) == (5, [], None)
    pod.source.stream.store("other")
    assert loop.run_until_complete(pod.ask(other)) == (5, [], None)
    assert loop.run_until_complete(pod.ask(other, fresh=True)).first[0].seq == 6
    loop.wait(flights.WINDOW_SECONDS)
    assert len(pod.snapshots) == 0


def test_who_leaves_costs_nothing_and_the_last_one_ends_the_read(loop: VirtualLoop) -> None:
    pod = Pod(loop, 60)
    pod.source.instant = False
    asked = [pod.ask() for _ in range(3)]
    loop.turn(3)
    pod.source.answer(0)
    loop.turn(8)
    readers = [one.result().snapshot for one in asked]
    assert pod.source.reads == 1
    for reader in readers:
        assert reader is not None
        assert pod.source.reads == 1
        loop.call(reader.close)
        loop.turn(8)
    assert (pod.source.reads, len(pod.snapshots), pod.snapshots.bytes) == (0, 0, 0)


def test_who_leaves_before_anything_has_come_ends_the_read(loop: VirtualLoop) -> None:
    pod = Pod(loop, 60)
    pod.source.instant = False
    asked = pod.ask()
    loop.turn(3)
    assert pod.source.reads == 1
    loop.call(asked.cancel)
    loop.turn(8)
    assert (pod.source.reads, len(pod.snapshots)) == (0, 0)


def test_one_read_at_a_time_for_each_slot_and_nobody_waits_for_ever(loop: VirtualLoop) -> None:
    pod = Pod(loop, 60, slots=2)
    pod.source.instant = False
    asked = [pod.ask(Filters.parse([f"t.{number}"])) for number in range(3)]
    loop.turn(5)
    assert (pod.source.reads, len(pod.snapshots)) == (2, 3)
    late = pod.ask(Filters.parse(["t.2"]))
    loop.wait(flights.SLOT_SECONDS)
    loop.turn(8)
    for one in (asked[2], late):
        error = one.exception()
        assert isinstance(error, SlipstreamError)
        assert error.code is Code.OVERLOADED
    assert len(pod.snapshots) == 2
    pod.source.answer(0)
    loop.turn(8)
    pod.ask(Filters.parse(["t.9"]))
    loop.turn(5)
    assert pod.source.begun == 3


def test_what_breaks_the_read_off_is_raised_to_all_after_what_they_have(loop: VirtualLoop) -> None:
    pod = Pod(loop, 60)
    pod.source.instant = False
    asked = [pod.ask() for _ in range(2)]
    loop.turn(3)
    pod.source.answer(0)
    loop.turn(8)
    pod.source.fail(0)
    loop.turn(8)
    for one in asked:
        snapshot = one.result().snapshot
        assert snapshot is not None
        with pytest.raises(SlipstreamError, match="away"):
            pod.rest(snapshot)
    assert (pod.source.reads, len(pod.snapshots)) == (0, 0)
    pod.source.instant = True
    assert pod.rest(pod.asked()) == list(range(1, 61))


def test_a_full_flight_goes_on_for_its_foremost_and_puts_laggards_off(
    loop: VirtualLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    pod = Pod(loop, 60)
    bound = 4 * LIST * pod.source.stream.chapter.events[60].size
    monkeypatch.setattr(flights, "FLIGHT_BYTES", bound)
    laggard, foremost = (one.snapshot for one in loop.run_until_complete(both(pod)))
    assert laggard is not None
    assert foremost is not None
    began = loop.time()
    assert pod.rest(foremost) == list(range(1, 61))
    assert loop.time() == began, "nobody waited for the laggard"
    assert pod.source.begun == 1
    assert pod.snapshots.bytes <= bound
    pod.source.stream.store("t.1")
    # It goes on in another one, whose lists are cut at other places, and gets nothing twice.
    assert pod.rest(laggard) == list(range(1, 62))
    assert pod.source.begun == 2


async def both(pod: Pod) -> list[Asked]:
    """Two who ask in the same moment."""
    return await asyncio.gather(*(pod.snapshots.ask(pod.source, 1, ALL, 60, fresh=False) for _ in range(2)))


def test_a_full_flight_that_nobody_reads_gives_its_consumer_back(
    loop: VirtualLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    pod = Pod(loop, 60)
    bound = 4 * LIST * pod.source.stream.chapter.events[60].size
    monkeypatch.setattr(flights, "FLIGHT_BYTES", bound)
    reader = pod.asked()
    assert pod.source.reads == 1
    loop.wait(flights.PATIENCE_SECONDS + 0.1)
    assert pod.source.reads == 0
    assert pod.snapshots.bytes <= bound + LIST * 400
    assert pod.rest(reader) == list(range(1, 61))
    assert (pod.source.begun, pod.source.reads, len(pod.snapshots)) == (2, 0, 0)


def test_the_oldest_give_way_where_all_together_keep_too_much(
    loop: VirtualLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    pod = Pod(loop, 60)
    weight = sum(one.size for one in pod.source.stream.chapter.retained(0))
    monkeypatch.setattr(snapshots, "HELD_BYTES", 2 * weight)
    readers: list[Snapshot] = []
    for _ in range(5):
        readers.append(pod.asked())
        loop.wait(flights.WINDOW_SECONDS)
    assert pod.snapshots.bytes <= 2 * weight
    for reader in readers:
        assert pod.rest(reader) == list(range(1, 61))
    loop.wait(flights.WINDOW_SECONDS)
    assert (pod.source.reads, len(pod.snapshots)) == (0, 0)


@pytest.mark.parametrize("seed", range(30))
def test_whatever_readers_do_they_get_the_newest_of_every_topic_in_order(
    loop: VirtualLoop, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """Slow, fast, late and leaving readers on a flight that holds a tenth of it, while events go on being stored.

    What a reader has, together with all that was stored after its last event, has the newest of every topic; so a
    client that is cut off anywhere can go on after its last id.
    """
    dice = random.Random(seed)
    pod = Pod(loop, 60)
    stream = pod.source.stream
    bound = 2 * LIST * stream.chapter.events[60].size
    monkeypatch.setattr(flights, "FLIGHT_BYTES", bound)
    monkeypatch.setattr(snapshots, "HELD_BYTES", 3 * bound)
    ended: list[tuple[list[int], bool]] = []
    pauses = deque([0.0, 0.0, 0.01, 0.3, 2.0])

    async def read() -> None:
        asked = await pod.snapshots.ask(pod.source, 1, ALL, stream.chapter.last, fresh=dice.random() < 0.1)
        assert asked.snapshot is not None
        pause, stay, got, over = dice.choice(pauses), dice.random(), [0], False
        while stay < 0.6 or dice.random() < 0.9:
            records = await asked.snapshot.after(got[-1])
            if not records:
                over = True
                break
            got += [one.seq for one in records]
            assert pod.source.reads <= 4
            assert pod.snapshots.bytes <= 3 * bound + LIST * 400
            await asyncio.sleep(pause)
        await asked.snapshot.aclose()
        ended.append((got[1:], over))

    async def run() -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(25):
                group.create_task(read())
                await asyncio.sleep(dice.choice([0.0, 0.0, 0.2, 1.5]))
                for _ in range(dice.randrange(4)):
                    stream.store(f"t.{dice.randrange(60)}")

    loop.run_until_complete(run())
    newest = set(pod.source.newest.values())
    for got, over in ended:
        assert got == sorted(set(got))
        last = got[-1] if got else 0
        assert newest <= {*got, *range(last + 1, stream.chapter.last + 1)}
        assert not over or len(got) >= 50
    assert len(ended) == 25
    loop.wait(flights.WINDOW_SECONDS)
    assert (pod.source.reads, len(pod.snapshots), pod.snapshots.bytes) == (0, 0, 0)
