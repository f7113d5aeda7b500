"""The breaker of a hook chain. Time is a number."""

import pytest

from slipstream.hooks.breaker import Breaker


def failed(times: int, now: float = 0.0) -> Breaker:
    breaker = Breaker(3, 1.0, 60.0)
    for _ in range(times):
        breaker.failed(now)
    return breaker


@pytest.mark.parametrize(("failures", "pause"), [(3, 1.0), (4, 2.0), (5, 4.0), (8, 32.0), (9, 60.0), (5_000, 60.0)])
def test_the_pause_doubles_with_each_failure_up_to_a_cap(failures: int, pause: float) -> None:
    breaker = failed(failures, now=100.0)
    assert breaker.refuses(100.0)
    assert breaker.refuses(100.0 + pause - 0.001)
    assert not breaker.refuses(100.0 + pause)


@pytest.mark.parametrize("failures", [0, 1, 2])
def test_fewer_failures_than_the_threshold_do_not_open_it(failures: int) -> None:
    assert not failed(failures).refuses(0.0)


def test_a_success_closes_it_and_the_count_begins_again() -> None:
    breaker = failed(7)
    breaker.succeeded()
    assert not breaker.refuses(0.0)
    breaker.failed(0.0)
    breaker.failed(0.0)
    assert not breaker.refuses(0.0)


def test_one_failure_after_the_pause_opens_it_again() -> None:
    breaker = failed(3)
    assert not breaker.refuses(1.0)
    breaker.failed(1.0)
    assert breaker.refuses(2.9)
    assert not breaker.refuses(3.0)
