import json
import math

import pytest

from slipstream.client import Backoff, Preferences, RetryState, Terms
from slipstream.client.retry import MAX_BACKOFF_SECONDS, MAX_FLOOR_SECONDS, MIN_FLOOR_SECONDS, asked_for

TERMS = Terms(base_ms=1_000, max_jitter_ms=400, max_attempts=3)


def waits(state: RetryState, count: int, roll: float = 0.0, floor: float = 0.0) -> list[float]:
    return [state.failed(100.0, roll, floor) for _ in range(count)]


def test_after_an_open_stream_the_servers_time_alone_counts() -> None:
    state = RetryState(TERMS, retry_ms=1_500)
    state.failed(100.0, 0.5, 0.0)
    assert state.ended(100.0) == 1.5
    assert state.ended(100.0, 4.0) == 4.0


@pytest.mark.parametrize(
    ("backoff", "expected"),
    [
        (Backoff.exponential, [1, 2, 4, 8, 16, 30, 30]),
        (Backoff.linear, [1, 2, 3, 4, 5, 6, 7]),
        (Backoff.constant, [1, 1, 1, 1, 1, 1, 1]),
    ],
)
def test_the_wait_grows_as_agreed_up_to_its_cap(backoff: Backoff, expected: list[float]) -> None:
    assert waits(RetryState(TERMS._replace(backoff=backoff)), 7) == pytest.approx(expected)


def test_full_jitter_comes_on_top_and_the_servers_word_is_a_floor() -> None:
    assert waits(RetryState(TERMS), 2, roll=0.5) == pytest.approx([1.2, 2.2])
    assert waits(RetryState(TERMS), 4, floor=3.0) == pytest.approx([3, 3, 4, 8])
    assert waits(RetryState(TERMS), 1, roll=1 - 2**-53, floor=3.0) == pytest.approx([3.4])


def test_a_slip_of_units_does_not_end_a_client_for_a_year() -> None:
    assert RetryState(retry_ms=10**12).ended(0.0) == MAX_FLOOR_SECONDS
    assert RetryState(TERMS).failed(0.0, 0.0, 1e9) == MAX_FLOOR_SECONDS
    assert RetryState(due_at=1e12).wait(0.0) == MAX_FLOOR_SECONDS


@pytest.mark.parametrize("floor", [None, 0.0, -0.005], ids=["retry: 0", "error 0", "error -5"])
def test_a_server_that_asks_for_no_wait_gets_one(floor: float | None) -> None:
    assert RetryState(TERMS, retry_ms=0).ended(100.0, floor) == MIN_FLOOR_SECONDS
    assert RetryState(TERMS, retry_ms=0).failed(100.0, 0.0, floor or 0.0) == TERMS.base_ms / 1000


def test_a_jitter_of_years_is_cut_too() -> None:
    terms = Terms.read("max-jitter=999999999s", "1", Terms())
    for roll in (0.0, 0.5, 1 - 2**-53):
        state = RetryState(terms)
        assert state.failed(0.0, roll, 1e9) == MAX_FLOOR_SECONDS
        assert state.wait(0.0) == MAX_FLOOR_SECONDS
    huge = RetryState(Terms(max_jitter_ms=10**15))
    assert huge.failed(0.0, 0.5, 0.0) == MAX_FLOOR_SECONDS


def test_a_million_failures_do_not_overflow() -> None:
    state = RetryState(TERMS, attempt=1_000_000)
    assert state.failed(0.0, 0.0, 0.0) == MAX_BACKOFF_SECONDS


def test_the_agreed_attempts_count_failures_in_a_row() -> None:
    state = RetryState(TERMS)
    waits(state, 2)
    assert not state.exhausted
    state.succeeded()
    waits(state, 2)
    assert not state.exhausted
    waits(state, 1)
    assert state.exhausted


def test_it_knows_since_when_until_when_and_why() -> None:
    state = RetryState(TERMS)
    assert state.wait(100.0) == 0.0
    state.began(90.0)
    delay = state.failed(100.0, 0.0, 0.0, "SSE_OVERLOADED")
    state.began(101.0)
    assert (state.began_at, state.last_at, state.due_at, state.code) == (90.0, 100.0, 100.0 + delay, "SSE_OVERLOADED")
    assert (state.wait(100.25), state.wait(200.0)) == (0.75, 0.0)
    state.succeeded()
    assert (state.attempt, state.began_at, state.due_at, state.code) == (0, None, None, "")


def test_a_clock_that_is_set_back_makes_no_wait_longer() -> None:
    state = RetryState(TERMS)
    delay = state.failed(10_000.0, 0.0, 2.0)
    assert state.wait(10_000.0 - 3_600.0) == delay == 2.0
    assert state.wait(10_000.5) == 1.5


def test_it_survives_a_restart_as_json() -> None:
    state = RetryState(TERMS._replace(retryable=("429",), backoff=Backoff.linear), 1_700, key="order-42")
    state.began(1_795_527_600.25)
    state.failed(1_795_527_601.5, 0.5, 0.0, "SSE_TIMEOUT")
    kept = json.loads(json.dumps(state.to_dict()))
    assert kept["terms"]["retryable"] == ["429"], "by its name, whatever comes before it one day"
    read = RetryState.from_dict(kept)
    assert read == state
    assert read.failed(1_795_527_610.0, 0.0, 0.0) == state.failed(1_795_527_610.0, 0.0, 0.0) == 2.0
    assert RetryState.from_dict({}) == RetryState()


@pytest.mark.parametrize(
    "kept",
    [
        {"attempt": "many"},
        {"attempts": 3},
        {"due_at": math.nan},
        {"due_at": math.inf},
        {"terms": {"backoff": "fibonacci"}},
        {"terms": {"tempo": 1}},
        {"key": 42},
        [],
    ],
)
def test_what_is_no_kept_state_is_refused(kept: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="validation error"):
        RetryState.from_dict(kept)


def test_until_the_server_answers_a_client_goes_by_its_own_wish() -> None:
    assert asked_for(Preferences()) == Terms()
    wish = Preferences(base_ms=200, max_jitter_ms=50, backoff=Backoff.constant, idempotency_aware=True, max_attempts=9)
    assert asked_for(wish) == Terms(200, 50, Backoff.constant, True, 9)
