import pytest

from slipstream.client.backoff import MAX_FLOOR_SECONDS, Reconnect


def test_after_an_open_stream_the_servers_time_alone_counts() -> None:
    state = Reconnect(retry_ms=1500)
    state.failed(0.5)
    assert state.ended() == 1.5


def test_failures_add_full_jitter_that_doubles_up_to_the_cap() -> None:
    state = Reconnect(base=1.0, cap=5.0, retry_ms=100)
    assert [state.failed(1.0) for _ in range(5)] == pytest.approx([1.1, 2.1, 4.1, 5.1, 5.1])
    assert state.failed(0.0) == pytest.approx(0.1)


def test_success_starts_over() -> None:
    state = Reconnect(base=1.0, cap=60.0, retry_ms=0)
    for _ in range(4):
        state.failed(1.0)
    state.succeeded()
    assert state.failed(1.0) == 1.0


def test_retry_after_takes_the_place_of_retry() -> None:
    assert Reconnect(base=1.0, retry_ms=9000).failed(0.5, 3.0) == 3.5


def test_a_slip_of_units_does_not_end_a_client_for_a_year() -> None:
    assert Reconnect(retry_ms=10**12).ended() == MAX_FLOOR_SECONDS
    assert Reconnect(base=1.0).failed(0.0, 1e9) == MAX_FLOOR_SECONDS


def test_a_million_failures_do_not_overflow() -> None:
    state = Reconnect(base=1.0, cap=30.0, retry_ms=0)
    state.attempt = 1_000_000
    assert state.failed(1.0) == 30.0
