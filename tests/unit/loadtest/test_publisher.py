"""The schedule keeps the rate it was given and never sends two events of a slow rate together; acks are counted."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import cycle, pairwise
from typing import Any

import pytest

from loadtest.payload import templates
from loadtest.publisher import Plan, Publisher, Schedule
from slipstream.demo import flights

SECONDS = 10.0


def send(schedule: Schedule, now: float, until: float, timer: float = 0.0) -> list[float]:
    """Times at which a loop whose timers are up to `timer` late sends events."""
    sent = []
    while now < until:
        wait = schedule.wait(now)
        if wait > 0:
            now += wait + timer
        else:
            schedule.sent(now)
            sent.append(now)
    return sent


@pytest.mark.parametrize("rate", [1, 12, 200, 1000])
def test_a_rate_is_kept_although_every_timer_is_a_millisecond_late(rate: int) -> None:
    assert len(send(Schedule(rate, 0.0), 0.0, 10.0, timer=0.001)) == pytest.approx(10 * rate, abs=2)


def test_events_are_apart_while_a_delay_is_caught_up() -> None:
    schedule = Schedule(200, 0.0)
    send(schedule, 0.0, 1.0)
    times = send(schedule, 1.1, 2.0)
    assert len(times) == pytest.approx(200, abs=2)
    assert min(late - early for early, late in pairwise(times)) >= 0.0025 - 1e-9


def test_a_long_delay_is_not_caught_up() -> None:
    schedule = Schedule(200, 0.0)
    send(schedule, 0.0, 1.0)
    assert schedule.sent(5.0)
    assert len(send(schedule, 5.0, 6.0)) == pytest.approx(200, abs=2)


class Log:
    """A log that acknowledges when the test says so; `full` when as many events wait as may."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.acks: list[asyncio.Future[Any]] = []
        self.subjects: list[str] = []
        self.full = asyncio.Event()

    async def publish_async(self, subject: str, payload: bytes) -> asyncio.Future[Any]:
        assert len(payload) == 170
        self.acks.append(asyncio.get_running_loop().create_future())
        self.subjects.append(subject)
        if len(self.acks) == self.room:
            self.full.set()
        return self.acks[-1]

    async def publish_async_completed(self) -> None:
        await asyncio.gather(*self.acks, return_exceptions=True)


@asynccontextmanager
async def publishing(log: Log) -> AsyncIterator[Publisher]:
    plan = Plan("nats://nowhere", "bench", in_flight=log.room)
    publisher = Publisher(plan, log, cycle(templates(flights())))
    task = asyncio.create_task(publisher.run(), name="publish")
    try:
        yield publisher
    finally:
        task.cancel()
        await asyncio.wait({task}, timeout=SECONDS)


async def test_no_more_is_sent_than_may_wait_for_acknowledgement() -> None:
    log = Log(3)
    async with publishing(log) as publisher, asyncio.timeout(SECONDS):
        publisher.set_rate(100_000)
        await log.full.wait()
        await asyncio.sleep(0.01)
        assert (publisher.published.sent, publisher.published.acked) == (3, 0)
        assert log.subjects[0] == "sse.bench." + next(iter(flights()))["topic"]


async def test_nothing_is_sent_after_a_pause_although_it_was_waiting_for_room() -> None:
    log = Log(3)
    async with publishing(log) as publisher, asyncio.timeout(SECONDS):
        publisher.set_rate(100_000)
        await log.full.wait()
        await asyncio.sleep(0.01)
        publisher.set_rate(0)
        for ack in log.acks:
            ack.set_result(None)
        await publisher.settle()
        await asyncio.sleep(0.01)
        assert (publisher.published.sent, publisher.published.acked) == (3, 3)


async def test_what_is_not_acknowledged_is_counted_by_its_reason() -> None:
    log = Log(2)
    async with publishing(log) as publisher, asyncio.timeout(SECONDS):
        publisher.set_rate(100_000)
        await log.full.wait()
        publisher.set_rate(0)
        log.acks[0].set_exception(TimeoutError("no quorum"))
        log.acks[1].set_result(None)
        await publisher.settle()
        await asyncio.sleep(0)
        assert publisher.published.failed == {"TimeoutError: no quorum": 1}
        assert publisher.published.acked == 1
