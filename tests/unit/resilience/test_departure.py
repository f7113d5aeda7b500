"""Who leaves when."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipstream.resilience.departure import SLOWEST, Departures


def test_thousands_take_the_whole_window_evenly() -> None:
    departures = Departures(6_000, 60.0)
    assert departures.seconds == 60.0
    assert [departures.due(at) for at in (0.0, 15.0, 30.0, 59.999, 60.0)] == [1, 1_501, 3_001, 6_000, 6_000]


def test_a_few_do_not_make_anybody_wait() -> None:
    assert Departures(10, 60.0).seconds == pytest.approx(10 / SLOWEST)
    assert Departures(10, 60.0).due(10 / SLOWEST) == 10


@pytest.mark.parametrize(("count", "window"), [(0, 60.0), (0, 0.0), (5, 0.0)])
def test_without_anybody_or_time_it_is_over_at_once(count: int, window: float) -> None:
    assert Departures(count, window).due(0.0) == count


@given(st.integers(0, 200_000), st.floats(0, 3_600), st.lists(st.floats(0, 4_000), min_size=2, max_size=20).map(sorted))
def test_nobody_comes_back_and_all_are_gone_in_time(count: int, window: float, times: list[float]) -> None:
    departures = Departures(count, window)
    due = [departures.due(at) for at in times]
    assert due == sorted(due)
    assert all(0 <= each <= count for each in due)
    assert departures.due(window) == count
