import pytest

from slipstream.resilience.pacing import RETRY_MIN_MS, TOLERATED_RATE, Spread, spread, within

_LAST_ROLL = 1 - 2**-53


@pytest.mark.parametrize(
    ("base_ms", "live", "expected"),
    [
        (3_000, 0, (3_000, 4_500)),
        (3_000, 3_000, (3_000, 4_500)),
        (3_000, 10_000, (3_000, 8_000)),
        (3_000, 50_000, (3_000, 28_000)),
        (1_000, 0, (1_000, 1_500)),
        (1, 0, (1_000, 1_500)),
        (60_000, 10_000, (60_000, 90_000)),
    ],
)
def test_the_range_grows_with_the_live_connections(base_ms: int, live: int, expected: tuple[int, int]) -> None:
    assert spread(base_ms, live) == expected


@pytest.mark.parametrize("rate", [100, TOLERATED_RATE, 5_000])
def test_one_survivor_sees_no_more_than_the_tolerated_rate(rate: int) -> None:
    for live in (1, 500, 20_000, 300_000):
        low, high = spread(1_000, live, rate)
        assert live / (high - low) * 1_000 <= rate * 1.001


def test_all_of_the_range_is_drawn_from_and_nothing_else() -> None:
    window = spread(3_000, 10_000)
    assert (window.draw(0.0), window.draw(0.5), window.draw(_LAST_ROLL)) == (3_000, 5_500, 7_999)
    assert Spread(1_000, 1_000).draw(_LAST_ROLL) == 1_000


def test_an_agreed_jitter_is_kept_and_nobody_comes_back_within_a_second() -> None:
    assert within(3_000, 50) == (3_000, 3_050)
    assert within(200, 50) == (RETRY_MIN_MS, RETRY_MIN_MS + 50)
    assert within(3_000, 0).draw(0.7) == 3_000


@pytest.mark.parametrize("rate", [0, -1.0])
def test_a_rate_of_nothing_is_refused(rate: float) -> None:
    with pytest.raises(ValueError, match="above 0"):
        spread(3_000, 10, rate)
