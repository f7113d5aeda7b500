"""Token buckets."""

import pytest

from slipstream.quotas.rate import Rate


def test_a_second_s_worth_at_once_and_then_the_rate() -> None:
    rate = Rate()
    assert [rate.take(50.0, 1, 4) for _ in range(4)] == [0.0] * 4
    assert rate.take(50.0, 1, 4) == pytest.approx(0.25)
    assert rate.take(50.125, 1, 4) == pytest.approx(0.125)
    assert rate.take(50.25, 1, 4) == 0
    assert [rate.take(99.0, 1, 4) for _ in range(4)] == [0.0] * 4, "not more, however long the rest"
    assert rate.take(99.0, 1, 4) > 0


def test_a_slow_rate_lets_one_pass() -> None:
    rate = Rate()
    assert rate.take(0.0, 1, 0.1) == 0
    assert rate.take(0.0, 1, 0.1) == pytest.approx(10)
    assert rate.take(10.0, 1, 0.1) == 0


def test_a_large_amount_passes_when_the_bucket_is_full_and_is_waited_off() -> None:
    rate = Rate()
    assert rate.take(0.0, 30, 10) == 0
    assert rate.take(0.0, 1, 10) == pytest.approx(2.1)
    assert rate.take(2.0, 1, 10) == pytest.approx(0.1)
    assert rate.take(3.0, 1, 10) == 0


def test_the_part_may_change() -> None:
    rate = Rate()
    assert rate.take(0.0, 10, 10) == 0
    assert rate.take(1.0, 5, 5) == 0
    assert rate.take(1.0, 1, 5) == pytest.approx(0.2)
