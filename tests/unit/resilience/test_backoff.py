"""How long to wait before trying again."""

import pytest

from slipstream.resilience.backoff import Backoff


def delays(backoff: Backoff, roll: float, count: int) -> list[float]:
    return [backoff.next(roll) for _ in range(count)]


def test_the_longest_delay_doubles_up_to_the_cap() -> None:
    assert delays(Backoff(0.1, 2.0), 1.0, 7) == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0])


def test_the_shortest_delay_is_half_of_it() -> None:
    assert delays(Backoff(0.1, 2.0), 0.0, 7) == pytest.approx([0.05, 0.1, 0.2, 0.4, 0.8, 1.0, 1.0])


def test_the_roll_decides_in_between() -> None:
    assert Backoff(4.0, 9.0).next(0.5) == pytest.approx(3.0)


def test_after_a_success_it_starts_over() -> None:
    backoff = Backoff(0.1, 2.0)
    delays(backoff, 1.0, 5)
    backoff.reset()
    assert delays(backoff, 1.0, 2) == pytest.approx([0.1, 0.2])


def test_a_base_above_the_cap_is_cut() -> None:
    assert delays(Backoff(5.0, 2.0), 1.0, 2) == [2.0, 2.0]


def test_it_can_fail_for_ever() -> None:
    backoff = Backoff(0.1, 2.0)
    backoff.attempt = 10_000
    assert backoff.next(1.0) == 2.0
