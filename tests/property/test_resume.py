"""Clients that come back to a stream with a past: who has a true one goes on, who has not is told, and goes on well.

What is true is said by the model alone: a client's past is true as long as the events it has seen are still the ones
that the stream has stored under their numbers.
"""

from collections.abc import Coroutine
from random import Random
from typing import TypeVar, cast

from hypothesis import given, settings
from hypothesis import strategies as st

from slipstream.log.onward import examine, onward
from slipstream.log.resume import Broken, Continue
from slipstream.log.source import State
from slipstream.protocol.control import Reason
from slipstream.protocol.event import Record
from slipstream.protocol.position import Position, mark_of
from tests.fakes.stream import Chapter, FakeSource, Stream

FEW = settings(derandomize=True, deadline=None, max_examples=400, database=None)

NOW = 1_732_000_000_000

T = TypeVar("T")


class Client:
    """`seen` is the event it had last, None when it came before there was one."""

    def __init__(self, chapter: Chapter, seq: int) -> None:
        self.chapter = chapter
        self.seen: Record | None = chapter.events.get(seq)
        self.position = Position(chapter.epoch, seq, mark_of(self.seen.time_ms) if self.seen else None)

    def is_true(self, chapter: Chapter) -> bool:
        """Whether what it has seen last is what the stream stored there. (All before it is then true as well.)"""
        same = self.seen is None or chapter.events.get(self.position.seq) is self.seen
        return self.position.epoch == chapter.epoch and same


def live(roll: Random) -> tuple[Stream, list[Client]]:
    """A stream's life, and the clients that were there meanwhile."""
    stream, clients = Stream(NOW), []
    for _ in range(roll.randint(1, 25)):
        chapter = stream.chapter
        match roll.choice(["store", "store", "store", "evict", "client", "client", "lose", "recreate"]):
            case "store":
                for _ in range(roll.randint(1, 5)):
                    stream.store("a")
            case "evict":
                stream.evict(roll.randint(1, 6))
            case "client":
                clients.append(Client(chapter, roll.randint(chapter.first - 1, chapter.last)))
            case "lose" if roll.random() < 0.5:
                stream.rewrite(max(chapter.last - roll.randint(1, 4), chapter.first - 1))
            case "recreate" if roll.random() < 0.3:
                stream.recreate()
    return stream, clients


def finish(coroutine: Coroutine[object, None, T]) -> T:
    """The result of a coroutine that never waits: its source answers at once."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        return cast("T", end.value)
    raise AssertionError("it waits")


def come_back(client: Client, stream: Stream) -> tuple[Continue | Broken, State, int | None]:
    source = FakeSource(stream, instant=True)
    verdict, state = finish(examine(client.position, source))
    assert isinstance(verdict, Continue | Broken)
    if isinstance(verdict, Continue):
        return verdict, state, None
    return verdict, state, finish(onward(client.position, verdict, source, state, stream.now_ms))


@FEW
@given(st.integers(0, 1 << 32))
def test_a_true_past_goes_on_and_any_other_one_is_told(seed: int) -> None:
    stream, clients = live(Random(seed))
    chapter = stream.chapter
    for client in clients:
        verdict, _, _ = come_back(client, stream)
        seq = client.position.seq
        complete = seq >= chapter.first - 1
        if client.is_true(chapter):
            assert verdict == (Continue() if complete else Broken(Reason.expired))
        elif seq == chapter.first - 1 and seq < chapter.last and client.position.epoch == chapter.epoch:
            # The one thing that nobody can know: what was under this number is gone, as it would be anyway.
            assert verdict == Continue()
        else:
            assert isinstance(verdict, Broken), f"{client.position} is not of this past, and was not told"


@FEW
@given(st.integers(0, 1 << 32))
def test_the_reason_is_what_happened(seed: int) -> None:
    stream, clients = live(Random(seed))
    chapter = stream.chapter
    for client in clients:
        verdict, _, _ = come_back(client, stream)
        if not isinstance(verdict, Broken):
            continue
        seq = client.position.seq
        match verdict.reason:
            case Reason.reset:
                assert client.position.epoch != chapter.epoch
            case Reason.ahead:
                assert seq > chapter.last
            case Reason.expired:
                assert seq < chapter.first - 1
            case _:
                assert verdict.reason is Reason.rewritten
                assert client.position.epoch == chapter.epoch
                assert not client.is_true(chapter)


@FEW
@given(st.integers(0, 1 << 32))
def test_who_is_told_goes_on_at_what_was_stored_since_and_gets_nothing_that_it_saw(seed: int) -> None:
    stream, clients = live(Random(seed))
    chapter = stream.chapter
    for client in clients:
        verdict, state, after = come_back(client, stream)
        if not isinstance(verdict, Broken) or after is None:
            continue
        assert state == chapter.state
        assert chapter.first - 1 <= after <= chapter.last
        if verdict.reason is Reason.expired or client.seen is None:
            assert after == chapter.first - 1
            continue
        since = [record.seq for record in chapter.retained(0) if record.time_ms > client.seen.time_ms]
        if since or verdict.reason is Reason.ahead:
            assert [record.seq for record in chapter.retained(after)] == since
        else:
            assert after == chapter.first - 1
