"""Tasks that must not die unseen. Time is virtual (`tests.fakes.loop`)."""

import asyncio
import logging
from collections.abc import Iterator

import pytest

from slipstream.resilience.supervise import Supervisor
from tests.fakes.loop import VirtualLoop


@pytest.fixture
def loop() -> Iterator[VirtualLoop]:
    with VirtualLoop() as loop:
        yield loop


class Task:
    """Fails, or returns, as often as it is told to; then it runs until it is cancelled."""

    def __init__(self, *, failures: int = 0, returns: int = 0, lasts: float = 0.0) -> None:
        self.failures = failures
        self.returns = returns
        self.lasts = lasts
        self.begun: list[float] = []
        self.cancelled = False

    async def run(self) -> None:
        self.begun.append(asyncio.get_running_loop().time())
        await asyncio.sleep(self.lasts)
        if len(self.begun) <= self.failures:
            raise RuntimeError("broken")
        if len(self.begun) <= self.failures + self.returns:
            return
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise


def pauses(task: Task) -> list[float]:
    return [later - earlier - task.lasts for earlier, later in zip(task.begun, task.begun[1:], strict=False)]


def test_a_task_that_fails_is_started_again_after_a_growing_pause(
    loop: VirtualLoop, caplog: pytest.LogCaptureFixture
) -> None:
    supervisor, task = Supervisor(), Task(failures=4)
    loop.call(lambda: supervisor.start("feed", task.run))
    loop.wait(60.0)
    assert len(task.begun) == 5
    assert supervisor.restarts == 4
    for pause, longest in zip(pauses(task), [0.1, 0.2, 0.4, 0.8], strict=True):
        assert longest / 2 <= pause <= longest + 1e-6
    failed = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert len(failed) == 4
    assert all("task feed failed" in record.message and record.exc_info for record in failed)


def test_the_pause_has_an_upper_bound(loop: VirtualLoop) -> None:
    supervisor, task = Supervisor(), Task(failures=20)
    loop.call(lambda: supervisor.start("feed", task.run))
    loop.wait(300.0)
    assert len(task.begun) == 21
    assert 2.5 <= max(pauses(task)) <= 5.0 + 1e-6


def test_a_task_that_returns_is_started_again_too(loop: VirtualLoop, caplog: pytest.LogCaptureFixture) -> None:
    supervisor, task = Supervisor(), Task(returns=2)
    loop.call(lambda: supervisor.start("feed", task.run))
    loop.wait(10.0)
    assert len(task.begun) == 3
    assert [record.message for record in caplog.records if "task feed returned" in record.message]


def test_a_task_that_ran_well_for_a_while_starts_over_with_a_short_pause(loop: VirtualLoop) -> None:
    supervisor, task = Supervisor(), Task(failures=8, lasts=31.0)
    loop.call(lambda: supervisor.start("feed", task.run))
    loop.wait(400.0)
    # The pause after a failure is chosen before the good run that follows counts.
    assert all(pause <= 0.2 + 1e-6 for pause in pauses(task))


def test_what_fails_five_times_a_minute_is_failing(loop: VirtualLoop) -> None:
    supervisor, well, ill = Supervisor(), Task(failures=4), Task(failures=5)
    loop.call(lambda: supervisor.start("well", well.run))
    loop.call(lambda: supervisor.start("ill", ill.run))
    loop.wait(10.0)
    found = loop.call(supervisor.failing)
    assert len(found) == 1
    assert found[0].startswith("task ill failed 5 times")
    loop.wait(60.0)
    assert loop.call(supervisor.failing) == [], "it has been well for a minute"


def test_five_failures_in_an_hour_are_no_failing(loop: VirtualLoop) -> None:
    supervisor, task = Supervisor(), Task(failures=9, lasts=20.0)
    loop.call(lambda: supervisor.start("feed", task.run))
    for _ in range(20):
        loop.wait(10.0)
        assert loop.call(supervisor.failing) == []


def test_two_tasks_cannot_have_one_name(loop: VirtualLoop) -> None:
    supervisor = Supervisor()
    loop.call(lambda: supervisor.start("feed", Task().run))
    with pytest.raises(ValueError, match="a task named feed runs already"):
        loop.call(lambda: supervisor.start("feed", Task().run))
    assert (len(supervisor), supervisor.names) == (1, ["feed"])


def test_a_task_that_was_cancelled_is_not_started_again_and_frees_its_name(loop: VirtualLoop) -> None:
    supervisor, task = Supervisor(), Task(failures=5)
    running = loop.call(lambda: supervisor.start("feed", task.run))
    assert running.get_name() == "feed"
    loop.wait(10.0)
    loop.call(running.cancel)
    loop.wait(10.0)
    assert task.cancelled
    assert (len(supervisor), loop.call(supervisor.failing), len(task.begun)) == (0, [], 6)
    loop.call(lambda: supervisor.start("feed", Task().run))


def test_a_task_can_be_cancelled_while_it_waits_to_start_again(loop: VirtualLoop) -> None:
    supervisor, task = Supervisor(), Task(failures=100)
    running = loop.call(lambda: supervisor.start("feed", task.run))
    loop.turn(3)
    loop.call(running.cancel)
    loop.wait(10.0)
    assert (len(supervisor), len(task.begun)) == (0, 1)


def test_stop_ends_all_tasks(loop: VirtualLoop) -> None:
    supervisor, tasks = Supervisor(), [Task(), Task(), Task(failures=100)]
    for number, task in enumerate(tasks):
        loop.call(lambda number=number, task=task: supervisor.start(f"task-{number}", task.run))  # type: ignore[misc]
    loop.wait(1.0)
    loop.run_until_complete(supervisor.stop(5.0))
    loop.turn(1)
    assert len(supervisor) == 0
    assert [task.cancelled for task in tasks] == [True, True, False]
    assert loop.clock.now < 2.0, "nobody was waited for"


def test_stop_without_tasks_is_nothing(loop: VirtualLoop) -> None:
    loop.run_until_complete(Supervisor().stop(5.0))


def test_a_process_that_stands_still_as_it_stops_takes_no_task_for_late(
    loop: VirtualLoop, caplog: pytest.LogCaptureFixture
) -> None:
    async def slow() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            loop.clock.now += 5.0
            for _ in range(5):
                await asyncio.sleep(0)

    supervisor = Supervisor()
    loop.call(lambda: supervisor.start("slow", slow))
    loop.turn(1)
    loop.run_until_complete(supervisor.stop(1.0))
    loop.turn(1)
    assert (len(supervisor), caplog.records) == (0, [])


def test_stop_names_who_does_not_end_and_does_not_wait_for_ever(
    loop: VirtualLoop, caplog: pytest.LogCaptureFixture
) -> None:
    released = asyncio.Event()

    async def stubborn() -> None:
        while not released.is_set():
            try:
                await released.wait()
            except asyncio.CancelledError:
                continue

    supervisor = Supervisor()
    loop.call(lambda: supervisor.start("stubborn", stubborn))
    loop.turn(1)
    loop.run_until_complete(supervisor.stop(2.0))
    assert loop.clock.now == pytest.approx(2.0)
    assert [record.message for record in caplog.records] == ["task stubborn did not end within 2.0 s"]
    loop.call(released.set)
