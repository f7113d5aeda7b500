"""Shared reads of history. Time is virtual, and answers come when they are let go (`tests.fakes`)."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from slipstream.fanout import replay as module
from slipstream.fanout.replay import Page, Replay, Shared
from slipstream.fanout.slots import Slots
from slipstream.log.splice import Fence
from slipstream.protocol.errors import Code, SlipstreamError
from slipstream.protocol.event import Record
from tests.fakes.loop import VirtualLoop
from tests.fakes.stream import FakeSource, Stream


@pytest.fixture
def loop(monkeypatch: pytest.MonkeyPatch) -> Iterator[VirtualLoop]:
    with VirtualLoop() as loop:
        monkeypatch.setattr(module, "time", loop.clock)
        yield loop


class Flights:
    """Fetches whose answers are given by the test."""

    def __init__(self) -> None:
        self.begun: list[asyncio.Future[int]] = []

    async def fetch(self) -> int:
        flight: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.begun.append(flight)
        return await flight

    def land(self, answer: int | Exception) -> None:
        """The oldest flight that is under way ends."""
        flight = next(one for one in self.begun if not one.done())
        if isinstance(answer, Exception):
            flight.set_exception(answer)
        else:
            flight.set_result(answer)


def shared_of(limit: int = 9, *, lasting: bool = True) -> Shared[str, int]:
    return Shared(Slots(limit).of("acme"), lambda _: lasting)


def ask(loop: VirtualLoop, what: Awaitable[int]) -> asyncio.Future[int]:
    asked = loop.call(lambda: asyncio.ensure_future(what))
    loop.turn(3)
    return asked


def test_equal_questions_are_one_flight_and_others_are_not(loop: VirtualLoop) -> None:
    shared, flights = shared_of(), Flights()
    asked = [ask(loop, shared.get(key, flights.fetch)) for key in ("a", "a", "b", "a")]
    assert len(flights.begun) == 2
    flights.land(1)
    flights.land(2)
    loop.turn(3)
    assert [one.result() for one in asked] == [1, 1, 2, 1]
    assert (shared.asked, shared.shared) == (4, 2)


def test_an_answer_serves_for_a_second_and_then_no_more(loop: VirtualLoop) -> None:
    shared, flights = shared_of(), Flights()
    first = ask(loop, shared.get("a", flights.fetch))
    loop.wait(5.0)
    flights.land(1)
    loop.wait(0.9)
    assert ask(loop, shared.get("a", flights.fetch)).result() == first.result() == 1
    loop.wait(0.2)
    again = ask(loop, shared.get("a", flights.fetch))
    assert not again.done()
    flights.land(2)
    loop.turn(3)
    assert (again.result(), len(flights.begun)) == (2, 2)


def test_an_answer_that_does_not_last_serves_only_those_who_waited(loop: VirtualLoop) -> None:
    shared, flights = shared_of(lasting=False), Flights()
    asked = [ask(loop, shared.get("a", flights.fetch)) for _ in range(2)]
    flights.land(1)
    loop.turn(3)
    assert [one.result() for one in asked] == [1, 1]
    ask(loop, shared.get("a", flights.fetch))
    assert len(flights.begun) == 2


def test_a_failure_is_told_to_those_who_waited_and_kept_for_nobody(loop: VirtualLoop) -> None:
    shared, flights = shared_of(), Flights()
    asked = [ask(loop, shared.get("a", flights.fetch)) for _ in range(2)]
    flights.land(SlipstreamError(Code.UPSTREAM_UNAVAILABLE, "away"))
    loop.turn(3)
    for one in asked:
        with pytest.raises(SlipstreamError, match="away"):
            one.result()
    ask(loop, shared.get("a", flights.fetch))
    assert len(flights.begun) == 2


def test_a_failure_that_nobody_waits_for_is_no_noise(loop: VirtualLoop, caplog: pytest.LogCaptureFixture) -> None:
    shared, flights = shared_of(), Flights()
    asked = ask(loop, shared.get("a", flights.fetch))
    asked.cancel()
    loop.turn(3)
    flights.land(SlipstreamError(Code.UPSTREAM_UNAVAILABLE, "away"))
    loop.wait(2.0)
    assert caplog.records == []


@pytest.mark.parametrize("leaving", [0, 1])
def test_a_reader_that_leaves_does_not_end_the_flight_of_the_others(loop: VirtualLoop, leaving: int) -> None:
    shared, flights = shared_of(), Flights()
    asked = [ask(loop, shared.get("a", flights.fetch)) for _ in range(2)]
    asked[leaving].cancel()
    loop.turn(3)
    flights.land(7)
    loop.turn(3)
    assert asked.pop(leaving).cancelled()
    assert asked.pop().result() == 7


def test_the_flights_of_all_questions_together_are_bounded(loop: VirtualLoop) -> None:
    limit = Slots(2).of("acme")
    one: Shared[str, int] = Shared(limit, lambda _: True)
    other: Shared[str, int] = Shared(limit, lambda _: True)
    flights = Flights()
    asked = [ask(loop, each.get(key, flights.fetch)) for key in "abc" for each in (one, other)]
    for answer in range(6):
        assert len(flights.begun) == min(6, answer + 2)
        flights.land(answer)
        loop.turn(4)
    assert [each.result() for each in asked] == [0, 1, 2, 3, 4, 5]


def test_a_failed_flight_gives_its_place_back(loop: VirtualLoop) -> None:
    shared, flights = shared_of(limit=1), Flights()
    failed = ask(loop, shared.get("a", flights.fetch))
    well = ask(loop, shared.get("b", flights.fetch))
    flights.land(SlipstreamError(Code.UPSTREAM_UNAVAILABLE, "away"))
    loop.turn(4)
    assert failed.exception() is not None
    flights.land(5)
    loop.turn(4)
    assert well.result() == 5


def test_what_is_forgotten_is_asked_again_even_while_it_is_under_way(loop: VirtualLoop) -> None:
    shared, flights = shared_of(), Flights()
    old = ask(loop, shared.get("a", flights.fetch))
    shared.forget("a")
    shared.forget("never asked")
    new = ask(loop, shared.get("a", flights.fetch))
    flights.land(1)
    loop.turn(3)
    assert old.result() == 1
    assert not new.done()
    assert not ask(loop, shared.get("a", flights.fetch)).done(), "the old answer does not stand in for the new"
    flights.land(2)
    loop.turn(3)
    assert new.result() == 2
    assert ask(loop, shared.get("a", flights.fetch)).result() == 2


def test_few_answers_are_kept_and_none_that_is_too_old(loop: VirtualLoop) -> None:
    shared, flights = shared_of(), Flights()
    for number in range(200):
        ask(loop, shared.get(str(number), flights.fetch))
        flights.land(number)
        loop.turn(3)
    assert len(shared._kept) == module._KEPT
    assert ask(loop, shared.get("199", flights.fetch)).result() == 199
    loop.call(shared.expire)
    assert len(shared._kept) == module._KEPT
    loop.wait(1.1)
    under_way = ask(loop, shared.get("new", flights.fetch))
    loop.call(shared.expire)
    assert list(shared._kept) == ["new"]
    flights.land(1)
    loop.turn(3)
    assert under_way.result() == 1


# -- pages and fences ------------------------------------------------------------------------------------------------


class Pod:
    """A `Replay` of a stream; blocks of 4 sequences, pages of 6 records."""

    def __init__(self, loop: VirtualLoop, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "_BLOCK", 4)
        monkeypatch.setattr(module, "_LIMIT", 6)
        self.loop = loop
        self.stream = Stream(0)
        self.source = FakeSource(self.stream, instant=True)
        self.replay = Replay(self.source, Slots(4).of("acme"))

    def page(self, after: int, pattern: str = ">", incarnation: int = 1) -> Page:
        return self.loop.run_until_complete(self.replay.page(pattern, after, incarnation))

    def seqs(self, after: int, pattern: str = ">") -> list[int]:
        return [record.seq for record in self.page(after, pattern).batch.records]

    def fence(self, cursor: int, head: int, pattern: str = ">", incarnation: int = 1) -> Fence:
        return self.loop.run_until_complete(self.replay.fence(pattern, cursor, head, incarnation))


def test_what_takes_its_time_with_a_page_keeps_nobody_from_reading(loop: VirtualLoop) -> None:
    gate: asyncio.Future[None] = loop.call(lambda: asyncio.get_running_loop().create_future())

    class Slow(FakeSource):
        async def prepare(self, records: list[Record]) -> list[Record]:
            await gate
            return records[:1]

    limit = Slots(1).of("acme")
    streams = [Stream(0), Stream(0)]
    for stream in streams:
        for _ in range(3):
            stream.store("a")
    slow = Replay(Slow(streams[0], instant=True), limit)
    quick = Replay(FakeSource(streams[1], instant=True), limit)
    waiting = loop.call(lambda: asyncio.ensure_future(slow.page(">", 0, 1)))
    loop.turn(20)
    assert [one.seq for one in loop.run_until_complete(quick.page(">", 0, 1)).batch.records] == [1, 2, 3]
    assert not waiting.done()
    loop.call(lambda: gate.set_result(None))
    page = loop.run_until_complete(waiting)
    assert [one.seq for one in page.batch.records] == [1]
    assert page.batch.pending == 2, "what was not ready is still to be read"


def test_reads_that_are_not_answered_keep_no_other_tenant_from_reading(loop: VirtualLoop) -> None:
    class Silent(FakeSource):
        async def read(self, pattern: str, after: int, limit: int) -> Any:
            return await asyncio.get_running_loop().create_future()

    slots, stream = Slots(4), Stream(0)
    for _ in range(3):
        stream.store("a")
    sick = Replay(Silent(Stream(0), instant=True), slots.of("sick"))
    well = Replay(FakeSource(stream, instant=True), slots.of("well"))
    waiting = [loop.call(lambda n=n: asyncio.ensure_future(sick.page(f"t{n}", 0, 1))) for n in range(100)]  # type: ignore[misc]
    loop.turn(20)
    reading = loop.call(lambda: asyncio.ensure_future(well.page(">", 0, 1)))
    loop.turn(20)
    assert [one.seq for one in reading.result().batch.records] == [1, 2, 3]
    assert not any(one.done() for one in waiting)


@pytest.fixture
def make(loop: VirtualLoop, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Pod]:
    def made(topics: str) -> Pod:
        pod = Pod(loop, monkeypatch)
        for topic in topics:
            pod.stream.store(topic)
        return pod

    return made


def test_readers_in_one_block_share_a_page(make: Callable[[str], Pod]) -> None:
    pod = make("a" * 20)
    assert [pod.seqs(after) for after in (4, 5, 7)] == [[5, 6, 7, 8, 9, 10]] * 3
    assert pod.replay.requests == (3, 2)
    assert pod.seqs(8) == [9, 10, 11, 12, 13, 14]


def test_other_filters_and_other_incarnations_share_nothing(make: Callable[[str], Pod]) -> None:
    pod = make("ab" * 10)
    assert pod.seqs(4, "a") == [5, 7, 9, 11, 13, 15]
    assert pod.seqs(4, "b") == [6, 8, 10, 12, 14, 16]
    pod.page(4, "a", incarnation=2)
    assert pod.replay.requests == (3, 0)


def test_a_page_that_ends_before_the_reader_is_followed_by_one_that_begins_there(
    make: Callable[[str], Pod], monkeypatch: pytest.MonkeyPatch
) -> None:
    pod = make("a" * 20)
    monkeypatch.setattr(module, "_LIMIT", 3)
    assert pod.seqs(7) == [8, 9, 10]
    assert pod.seqs(6) == [5, 6, 7]


def test_a_page_that_reaches_the_end_is_not_kept(make: Callable[[str], Pod]) -> None:
    pod = make("a" * 8)
    assert pod.seqs(4) == [5, 6, 7, 8]
    pod.stream.store("a")
    assert pod.seqs(4) == [5, 6, 7, 8, 9]
    assert pod.seqs(9) == [9]
    assert pod.seqs(12) == []


def test_a_page_knows_what_was_evicted_while_it_was_read(loop: VirtualLoop, make: Callable[[str], Pod]) -> None:
    pod = make("a" * 20)
    pod.source.instant = False
    asked = loop.call(lambda: asyncio.ensure_future(pod.replay.page(">", 4, 1)))
    loop.turn(3)
    pod.source.answer(0)
    pod.stream.evict(7)
    while not asked.done():
        pod.source.answer(0)
        loop.turn(3)
    assert asked.result().state.first_seq == 8


def test_a_fence_is_the_newest_match_and_shared_for_a_second(loop: VirtualLoop, make: Callable[[str], Pod]) -> None:
    pod = make("aab")
    fence = Fence(2, 3, pod.stream.chapter.state)
    assert pod.fence(0, 3, "a") == fence
    pod.stream.store("a")
    assert pod.fence(1, 4, "a") == fence
    assert pod.fence(1, 4, "b") == Fence(3, 4, pod.stream.chapter.state)
    assert pod.fence(1, 4, "a", incarnation=2).last_match == 4
    loop.wait(1.1)
    assert pod.fence(1, 4, "a") == Fence(4, 4, pod.stream.chapter.state)
    assert pod.fence(0, 4, "none").last_match == 0


def test_a_fence_that_lies_behind_a_reader_is_made_anew_for_it(make: Callable[[str], Pod]) -> None:
    pod = make("a" * 3)
    assert pod.fence(0, 3).head == 3
    for _ in range(5):
        pod.stream.store("a")
    assert pod.fence(2, 8).head == 3
    assert pod.fence(3, 8) == Fence(8, 8, pod.stream.chapter.state)
    assert pod.fence(0, 8).head == 8, "the others have the new one"


def test_the_state_of_a_fence_is_asked_for_after_the_match(loop: VirtualLoop, make: Callable[[str], Pod]) -> None:
    pod = make("ab")
    pod.source.instant = False
    asked = loop.call(lambda: asyncio.ensure_future(pod.replay.fence("a", 0, 2, 1)))
    loop.turn(3)
    pod.source.answer(0)
    loop.turn(1)
    pod.stream.evict(1)
    while not asked.done():
        pod.source.answer(0)
        loop.turn(3)
    fence = asked.result()
    assert (fence.last_match, fence.state.first_seq) == (1, 2)
