"""The queues of a child, step by step."""

import asyncio
from collections.abc import Iterator

import pytest

from slipstream.hooks.work import Batch, Window, Work
from slipstream.shape.event import Dropped, Event
from tests.fakes.loop import VirtualLoop


@pytest.fixture
def loop() -> Iterator[VirtualLoop]:
    with VirtualLoop() as loop:
        yield loop


def batch(loop: VirtualLoop, *names: str, urgent: bool = True, size: int = 1) -> Batch:
    events = [Event(name, "a.b", "", 1_000, b"x" * size) for name in names]
    return Batch(events, asyncio.Future(loop=loop), urgent=urgent)


def taken(work: Work) -> list[str]:
    found = []
    while (job := work.next()) is not None:
        found.append(job.event.id)
    return found


def test_urgent_events_go_first_and_each_kind_in_its_order(loop: VirtualLoop) -> None:
    work = Work(Window(9, 9))
    work.add(batch(loop, "p1", "p2", urgent=False))
    work.add(batch(loop, "u1", "u2"))
    work.add(batch(loop, "u3"))
    assert work.waiting == 5
    assert taken(work) == ["u1", "u2", "u3", "p1", "p2"]
    assert (work.waiting, work.flight) == (0, 5)


def test_patient_events_have_a_smaller_window(loop: VirtualLoop) -> None:
    work = Work(Window(4, 2))
    work.add(batch(loop, "p1", "p2", "p3", urgent=False))
    assert taken(work) == ["p1", "p2"]
    work.add(batch(loop, "u1", "u2", "u3"))
    assert taken(work) == ["u1", "u2"]
    work.answered()
    assert taken(work) == ["u3"]
    for _ in range(2):
        work.answered()
    assert taken(work) == []
    work.answered()
    assert taken(work) == ["p3"]


def test_large_events_go_one_by_one(loop: VirtualLoop) -> None:
    work = Work(Window())
    work.add(batch(loop, "1", "2", size=600 * 1024))
    assert taken(work) == ["1"]
    work.answered()
    assert taken(work) == ["2"]


def test_after_a_failure_those_behind_the_first_wait_again_in_their_order(loop: VirtualLoop) -> None:
    work = Work(Window(9, 9))
    urgent, patient, gone = batch(loop, "u1", "u2", "u3"), batch(loop, "p1", urgent=False), batch(loop, "g1")
    for one in (urgent, gone, patient, batch(loop, "u4")):
        work.add(one)
    assert taken(work) == ["u1", "u2", "u3", "g1", "u4", "p1"]
    work.add(batch(loop, "u5"))
    gone.done.cancel()
    first = work.fail()
    assert first is not None
    assert first.event.id == "u1"
    assert taken(work) == ["u2", "u3", "u4", "u5", "p1"]
    assert Work(Window()).fail() is None


def test_what_is_withdrawn_or_drained_is_gone(loop: VirtualLoop) -> None:
    work = Work(Window(1, 1))
    mine, other = batch(loop, "1", "2", "3"), batch(loop, "4")
    work.add(mine)
    work.add(other)
    assert taken(work) == ["1"]
    work.withdraw(mine)
    assert (work.waiting, work.flight) == (1, 1)
    assert [job.event.id for job in work.drain()] == ["1", "4"]
    assert (work.waiting, work.flight, work.first()) == (0, 0, None)


def test_a_batch_is_done_when_each_of_its_events_is(loop: VirtualLoop) -> None:
    work = Work(Window())
    one = batch(loop, "1", "2")
    work.add(one)
    jobs = [job for job in (work.next(), work.next()) if job is not None]
    jobs[1].settle(Dropped())
    assert not one.done.done()
    jobs[0].settle(Dropped())
    assert one.done.done()
    assert one.outcomes == {0: Dropped(), 1: Dropped()}
