"""The schedule keeps the rate it was given and never sends two events of a slow rate together."""

from itertools import pairwise

import pytest

from loadtest.publisher import Schedule


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
