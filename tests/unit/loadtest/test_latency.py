"""Percentiles are nearest-rank, near enough to the truth, and can be taken of a difference."""

import math
import random

import pytest

from loadtest.latency import Histogram


def recorded(times: list[int]) -> Histogram:
    histogram = Histogram()
    for time in times:
        histogram.record(time)
    return histogram


def nearest_rank(times: list[int], percent: float) -> int:
    return sorted(times)[math.ceil(len(times) * percent / 100) - 1]


@pytest.mark.parametrize("percent", [0.1, 1, 50, 90, 99, 99.9, 100])
def test_a_percentile_is_within_one_part_in_128_of_the_true_one(percent: float) -> None:
    times = [int(random.lognormvariate(14, 3)) for _ in range(5000)]
    exact = nearest_rank(times, percent)
    assert recorded(times).percentile(percent) == pytest.approx(exact, rel=1 / 128)


def test_small_times_are_exact() -> None:
    assert [recorded([time]).percentile(50) for time in range(128)] == list(range(128))


def test_the_rank_is_the_nearest_not_an_interpolation() -> None:
    times = recorded([1, 2, 3, 4])
    assert [times.percentile(percent) for percent in (25, 26, 50, 51, 100)] == [1, 2, 2, 3, 4]


def test_every_time_falls_into_a_bucket_whose_middle_is_near() -> None:
    for exponent in range(40):
        for time in (2**exponent - 1, 2**exponent, 2**exponent + 1):
            assert recorded([time]).percentile(100) == pytest.approx(time, rel=1 / 128)


def test_an_empty_histogram_has_no_percentile() -> None:
    assert Histogram().percentile(99) is None


@pytest.mark.parametrize("percent", [0, -1, 100.1])
def test_a_percentile_out_of_range_is_refused(percent: float) -> None:
    with pytest.raises(ValueError, match="percentile"):
        recorded([1]).percentile(percent)


def test_a_time_before_zero_is_refused() -> None:
    with pytest.raises(ValueError, match="monotonic clock"):
        Histogram().record(-1)


def test_the_difference_of_two_states_is_what_came_between() -> None:
    early = recorded([5] * 10)
    late = recorded([5] * 10 + [90] * 3)
    between = late - early
    assert (between.count, between.percentile(1), between.percentile(100)) == (3, 90, 90)


def test_the_sum_of_two_histograms_holds_both() -> None:
    both = recorded([1, 1]) + recorded([100])
    assert (both.count, both.percentile(50), both.percentile(100)) == (3, 1, 100)
