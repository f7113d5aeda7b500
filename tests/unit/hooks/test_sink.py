"""The buffer between feed and tail. The stage is one whose hooks answer when the test says so; time is virtual."""

import asyncio
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from slipstream.hooks.sink import Buffer, StagedSink
from slipstream.hooks.stage import Setup, Stage
from slipstream.log.source import State
from slipstream.protocol.control import Reason
from slipstream.protocol.errors import Code, SlipstreamError
from slipstream.protocol.event import Record
from slipstream.resilience.supervise import Supervisor
from tests.fakes.loop import VirtualLoop

_STATE = State("epoch", 1, 0, None)
_OTHER = State("other", 1, 0, None)


class Gated(Stage):
    """Prepares what it is told to, in the order of asking."""

    def __init__(self) -> None:
        super().__init__("acme", self._never, Supervisor())
        self.wanted = True
        self.asked: list[tuple[list[int], str, bool]] = []
        self.gate = asyncio.Semaphore(0)
        self.failure: Exception | None = None

    @property
    def foreign(self) -> bool:
        return self.wanted

    async def prepare(self, records: Sequence[Record], epoch: str, *, urgent: bool = False) -> None:
        self.asked.append(([one.seq for one in records], epoch, urgent))
        await self.gate.acquire()
        failure, self.failure = self.failure, None
        if failure is not None:
            raise failure

    @staticmethod
    def _never() -> Setup:
        raise AssertionError


class Written:
    """A sink that writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[Any] = []
        self.failing: set[int] = set()

    def append(self, record: Record) -> None:
        if record.seq in self.failing:
            raise ValueError("a fault of the tail")
        self.told.append(record.seq)

    def restart(self, state: State, base: int, base_time_ms: int | None, reason: Reason | None) -> None:
        self.told.append((state.epoch, base, reason))


@pytest.fixture
def loop() -> Iterator[VirtualLoop]:
    with VirtualLoop() as loop:
        yield loop


def record(seq: int, size: int = 10) -> Record:
    return Record(seq, 1_000 + seq, "a.b", "", b"x" * size)


def staged(loop: VirtualLoop, buffer: Buffer = Buffer(4, 1 << 20)) -> tuple[StagedSink, Gated, Written]:  # noqa: B008
    written = Written()
    stage = loop.call(Gated)
    sink = loop.call(lambda: StagedSink(written, stage, buffer))
    loop.create_task(sink.run())
    sink.restart(_STATE, 0, None, None)
    return sink, stage, written


def release(loop: VirtualLoop, stage: Gated, times: int = 1) -> None:
    for _ in range(times):
        stage.gate.release()
    loop.turn(5)


def test_the_first_restart_waits_for_nothing(loop: VirtualLoop) -> None:
    _, stage, written = staged(loop)
    assert written.told == [("epoch", 0, None)]
    assert stage.epoch == "epoch"


def test_without_foreign_hooks_everything_passes_at_once(loop: VirtualLoop) -> None:
    sink, stage, written = staged(loop)
    stage.wanted = False
    sink.append(record(1))
    sink.restart(_OTHER, 5, None, Reason.reset)
    sink.append(record(6))
    assert written.told[1:] == [1, ("other", 5, Reason.reset), 6]
    assert not stage.asked


def test_a_fault_of_the_tail_is_the_feeds_to_tell_where_nothing_waits(loop: VirtualLoop) -> None:
    sink, stage, written = staged(loop)
    stage.wanted = False
    written.failing = {1}
    with pytest.raises(ValueError, match="a fault of the tail"):
        sink.append(record(1))


def test_records_are_delivered_in_order_after_they_were_prepared(loop: VirtualLoop) -> None:
    sink, stage, written = staged(loop)
    for seq in (1, 2, 3):
        sink.append(record(seq))
    loop.turn(5)
    assert written.told == [("epoch", 0, None)]
    assert stage.asked == [([1, 2, 3], "epoch", True)]
    release(loop, stage)
    assert written.told[1:] == [1, 2, 3]


def test_what_was_taken_before_a_restart_is_delivered_before_it_and_in_its_epoch(loop: VirtualLoop) -> None:
    sink, stage, written = staged(loop)
    sink.append(record(1))
    sink.restart(_OTHER, 0, None, Reason.reset)
    sink.append(record(1))
    loop.turn(5)
    assert stage.epoch == "epoch"
    release(loop, stage, 2)
    assert written.told[1:] == [1, ("other", 0, Reason.reset), 1]
    assert stage.asked == [([1], "epoch", True), ([1], "other", True)]


def test_when_the_last_foreign_hook_goes_what_waits_still_keeps_the_order(loop: VirtualLoop) -> None:
    sink, stage, written = staged(loop)
    sink.append(record(1))
    stage.wanted = False
    sink.append(record(2))
    loop.turn(5)
    release(loop, stage, 2)
    assert written.told[1:] == [1, 2]


@pytest.mark.parametrize("buffer", [Buffer(4, 1 << 20), Buffer(1_000, 4 * record(1).size)])
def test_a_full_buffer_refuses_and_has_room_again_when_half_of_it_is_free(loop: VirtualLoop, buffer: Buffer) -> None:
    sink, stage, written = staged(loop, buffer)
    sink.append(record(1))
    loop.turn(5)
    for seq in (2, 3, 4):
        sink.append(record(seq))
    with pytest.raises(asyncio.QueueFull):
        sink.append(record(5))
    waiting = loop.create_task(sink.room())
    loop.turn(5)
    release(loop, stage)
    assert written.told[1:] == [1]
    assert not waiting.done()
    release(loop, stage)
    assert written.told[1:] == [1, 2, 3, 4]
    assert waiting.done()
    sink.append(record(5))
    release(loop, stage)
    assert written.told[-1] == 5
    assert len(sink) == 0


def test_one_record_always_fits_however_large(loop: VirtualLoop) -> None:
    sink, stage, written = staged(loop, Buffer(4, 100))
    sink.append(record(1, 10_000))
    with pytest.raises(asyncio.QueueFull):
        sink.append(record(2))
    release(loop, stage)
    assert written.told[1:] == [1]


def test_whoever_waits_for_room_for_half_a_minute_is_told(loop: VirtualLoop) -> None:
    sink, _, _ = staged(loop, Buffer(1, 1 << 20))
    sink.append(record(1))
    with pytest.raises(asyncio.QueueFull):
        sink.append(record(2))
    with pytest.raises(SlipstreamError, match="the hooks of tenant acme are 1 events behind"):
        loop.run_until_complete(sink.room())
    assert loop.time() == pytest.approx(30.0)


def test_when_the_chain_is_replaced_the_same_records_are_shown_to_the_next(loop: VirtualLoop) -> None:
    sink, stage, written = staged(loop)
    sink.append(record(1))
    stage.failure = SlipstreamError(Code.UPSTREAM_UNAVAILABLE, "is being stopped")
    release(loop, stage)
    assert written.told == [("epoch", 0, None)]
    release(loop, stage)
    assert written.told[1:] == [1]
    assert [asked[0] for asked in stage.asked] == [[1], [1]]


def test_a_record_at_which_the_tail_fails_is_told_as_a_gap(loop: VirtualLoop, caplog: pytest.LogCaptureFixture) -> None:
    sink, stage, written = staged(loop)
    written.failing = {2}
    for seq in (1, 2, 3):
        sink.append(record(seq))
    release(loop, stage)
    assert written.told[1:] == [1, ("epoch", 2, Reason.undeliverable), 3]
    assert "event 2 of acme failed" in caplog.text


def test_started_again_it_goes_on_with_what_the_tail_has_not_got(loop: VirtualLoop) -> None:
    written = Written()
    stage = loop.call(Gated)
    sink = loop.call(lambda: StagedSink(written, stage, Buffer()))
    sink.restart(_STATE, 0, None, None)
    first = loop.create_task(sink.run())
    sink.append(record(1))
    loop.turn(5)
    first.cancel()
    loop.turn(5)
    assert first.cancelled()
    loop.create_task(sink.run())
    loop.turn(5)
    release(loop, stage)
    assert written.told[1:] == [1]
