"""Where a reader goes on whose past is gone, and what is asked to find out."""

import pytest

from slipstream.log.onward import examine, onward
from slipstream.log.resume import Broken, Continue
from slipstream.log.source import State
from slipstream.protocol.control import Reason
from slipstream.protocol.errors import Code, SlipstreamError
from slipstream.protocol.position import Position, mark_of
from tests.fakes.stream import FakeSource, Stream

BEGIN = 1_732_000_000_000


class Racing(FakeSource):
    """Something happens between the first answer and the second."""

    def __init__(self, stream: Stream, *, evicts: int = 0, recreates: bool = False) -> None:
        super().__init__(stream, instant=True)
        self._evicts = evicts
        self._recreates = recreates

    async def state(self) -> State:
        state = await super().state()
        self.stream.evict(self._evicts)
        if self._recreates:
            self._recreates = False
            self.stream.recreate()
        return state


class Holed(FakeSource):
    """An event is not there, though others before and after it are."""

    async def time_of(self, seq: int) -> None:
        return None


class Unevicted(FakeSource):
    """A replica that still has all."""

    async def first_since(self, time_ms: int) -> int:
        return min(seq for seq, one in self.stream.chapter.events.items() if one.time_ms >= time_ms)


def stream_of(count: int, evicted: int = 0) -> Stream:
    """Event n is stored at BEGIN + 10 n."""
    stream = Stream(BEGIN)
    for _ in range(count):
        stream.store("a")
    stream.evict(evicted)
    return stream


def position(seq: int, epoch: str = "epoch000", *, later: int = 0) -> Position:
    return Position(epoch, seq, mark_of(BEGIN + 10 * seq + later))


async def test_a_true_position_is_found_true_by_reading_its_event() -> None:
    source = FakeSource(stream_of(9), instant=True)
    assert await examine(position(5), source) == (Continue(), source.stream.chapter.state)
    assert source.asked == 2 + 1, "the state and the event, and nothing else"
    assert await examine(position(5, later=1), source) == (Broken(Reason.rewritten), source.stream.chapter.state)


async def test_what_the_state_decides_is_not_read() -> None:
    source = FakeSource(stream_of(9, evicted=2), instant=True)
    for seq in (9, 2, 1, 10):
        await examine(position(seq), source)
    # Two halves of the way for each state, and nothing else.
    assert source.asked == 4 * 2


async def test_an_event_that_is_evicted_between_two_answers_is_no_rewriting() -> None:
    found, state = await examine(position(5), Racing(stream_of(9), evicts=5))
    assert (found, state.first_seq) == (Continue(), 11 - 5), "evicted, but nothing after it"
    found, _ = await examine(position(5), Racing(stream_of(9), evicts=7))
    assert found == Broken(Reason.expired)


async def test_an_event_that_is_missing_among_others_was_rewritten() -> None:
    found, _ = await examine(position(5), Holed(stream_of(9), instant=True))
    assert found == Broken(Reason.rewritten)


async def test_a_stream_that_is_made_anew_between_two_answers_is_a_reset() -> None:
    found, state = await examine(position(5), Racing(stream_of(9), recreates=True))
    assert (found, state.epoch) == (Broken(Reason.reset), "epoch001")


async def go_on(place: Position, reason: Reason, stream: Stream) -> int:
    source = FakeSource(stream, instant=True)
    return await onward(place, Broken(reason), source, stream.chapter.state, stream.now_ms)


async def test_an_expired_one_goes_on_at_the_first_retained() -> None:
    assert await go_on(position(2), Reason.expired, stream_of(9, evicted=4)) == 4
    assert await go_on(position(2), Reason.expired, stream_of(9, evicted=9)) == 9


@pytest.mark.parametrize("reason", [Reason.reset, Reason.rewritten, Reason.ahead])
async def test_others_go_on_at_the_first_event_stored_after_their_mark(reason: Reason) -> None:
    stream = stream_of(9, evicted=2)
    assert await go_on(position(5), reason, stream) == 5
    assert await go_on(position(5, later=-1), reason, stream) == 4
    assert await go_on(position(5, later=9), reason, stream) == 5
    assert await go_on(position(1), reason, stream) == 2, "not before the first retained"


@pytest.mark.parametrize("reason", [Reason.reset, Reason.rewritten, Reason.ahead])
async def test_without_a_mark_they_go_on_at_the_first_retained(reason: Reason) -> None:
    assert await go_on(Position("epoch000", 5), reason, stream_of(9, evicted=2)) == 2


async def test_where_nothing_was_stored_since_a_lost_tail_sends_nothing_again() -> None:
    stream = stream_of(9, evicted=2)
    assert await go_on(position(12), Reason.ahead, stream) == 9
    assert await go_on(position(12), Reason.reset, stream) == 2
    assert await go_on(position(12), Reason.rewritten, stream) == 2
    assert await go_on(position(9), Reason.ahead, stream) == 9, "what was seen last is the last"
    assert await go_on(position(9), Reason.reset, stream) == 2


@pytest.mark.parametrize("reason", [Reason.reset, Reason.rewritten, Reason.ahead])
async def test_a_replica_that_is_behind_does_not_decide_that_nothing_was_stored_since(reason: Reason) -> None:
    stream = stream_of(5)
    stream.lag()
    for _ in range(4):
        stream.store("a")
    assert await go_on(position(4), reason, stream) == 4, "what it has is the first all the same"
    with pytest.raises(SlipstreamError, match="behind its leader") as caught:
        await go_on(position(6), reason, stream)
    assert caught.value.code is Code.UPSTREAM_UNAVAILABLE
    stream.evict(8)
    with pytest.raises(SlipstreamError, match="behind its leader"):
        await go_on(position(6), reason, stream)  # a single one is retained
    stream.catch_up()
    assert await go_on(position(6), reason, stream) == 8


async def test_a_replica_that_has_what_its_leader_has_evicted_does_not_lead_there() -> None:
    source = Unevicted(stream_of(9, evicted=4), instant=True)
    state = source.stream.chapter.state
    assert await onward(position(2), Broken(Reason.reset), source, state, source.stream.now_ms) == 4


async def test_an_empty_stream_waits_for_no_replica() -> None:
    assert await go_on(position(5), Reason.reset, stream_of(9, evicted=9)) == 9
