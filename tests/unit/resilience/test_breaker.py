"""The circuit breaker. Time is a number, and so is the roll."""

import pytest

from slipstream.resilience.breaker import Breaker

NEARLY = 0.999_999


def failed(times: int, now: float = 0.0) -> Breaker:
    breaker = Breaker(3, 1.0, 60.0)
    for _ in range(times):
        breaker.failed(now, NEARLY)
    return breaker


def reopened(times: int, now: float) -> Breaker:
    """Open, with so many failed trials, the last of them at `now`."""
    breaker = failed(3, now - 1_000_000.0)
    for number in range(times):
        breaker.failed(now - (times - 1 - number) * 1_000.0, NEARLY)
    return breaker


@pytest.mark.parametrize("failures", [0, 1, 2])
def test_fewer_failures_than_the_threshold_do_not_open_it(failures: int) -> None:
    breaker = failed(failures)
    assert not breaker.refuses(0.0)
    assert all(breaker.admits(0.0) for _ in range(9))
    assert breaker.pause(0.0) == 0.0


@pytest.mark.parametrize(("trials", "pause"), [(1, 2.0), (2, 4.0), (5, 32.0), (6, 60.0), (500, 60.0)])
def test_the_pause_doubles_with_each_failed_trial_up_to_a_cap(trials: int, pause: float) -> None:
    breaker = reopened(trials, now=100.0)
    assert breaker.pause(100.0) == pytest.approx(pause, rel=1e-3)
    assert breaker.refuses(100.0 + pause - 0.001)
    assert not breaker.admits(100.0 + pause - 0.001)
    assert not breaker.refuses(100.0 + pause)
    assert breaker.admits(100.0 + pause)


@pytest.mark.parametrize(("roll", "pause"), [(0.0, 0.5), (0.5, 0.75)])
def test_the_roll_shortens_the_pause_to_half_of_it_at_most(roll: float, pause: float) -> None:
    breaker = Breaker(1, 1.0, 60.0)
    breaker.failed(10.0, roll)
    assert breaker.pause(10.0) == pause
    assert not breaker.refuses(10.0 + pause), "who waits for the pause, and no longer, comes in time"
    assert breaker.admits(10.0 + pause)


def test_those_who_were_under_way_when_it_opened_do_not_make_the_pause_longer() -> None:
    breaker = failed(100)
    assert breaker.pause(0.0) == pytest.approx(1.0, rel=1e-3)


def test_after_the_pause_one_tries_and_the_others_wait_for_what_comes_of_it() -> None:
    breaker = failed(3)
    assert [breaker.admits(1.0) for _ in range(4)] == [True, False, False, False]
    assert not breaker.admits(1_000.0)
    breaker.failed(1_000.0, NEARLY)
    assert not breaker.admits(1_001.0)
    assert breaker.admits(1_002.0)
    breaker.succeeded()
    assert all(breaker.admits(1_002.0) for _ in range(9))


def test_whoever_leaves_without_knowing_gives_its_turn_to_another() -> None:
    breaker = failed(3)
    assert breaker.admits(1.0)
    breaker.abandoned()
    assert breaker.admits(1.0)
    assert not breaker.admits(1.0)


def test_a_success_closes_it_and_everything_begins_again() -> None:
    breaker = reopened(5, now=50.0)
    breaker.succeeded()
    assert not breaker.refuses(50.0)
    breaker.failed(50.0, NEARLY)
    breaker.failed(50.0, NEARLY)
    assert not breaker.refuses(50.0)
    breaker.failed(50.0, NEARLY)
    assert breaker.pause(50.0) == pytest.approx(1.0, rel=1e-3)


def test_where_nobody_asks_for_a_turn_one_failure_after_the_pause_opens_it_again() -> None:
    breaker = failed(3)
    assert not breaker.refuses(1.0)
    breaker.failed(1.0, NEARLY)
    assert breaker.refuses(2.9)
    assert not breaker.refuses(3.0)
