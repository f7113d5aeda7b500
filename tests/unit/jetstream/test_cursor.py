"""The reset machine, rule by rule. See also tests/property/test_cursor.py."""

import pytest

from slipstream.jetstream.cursor import SILENCE, Action, Cursor


def following(last: int = 0, now: float = 100.0) -> Cursor:
    cursor = Cursor(last)
    cursor.begin(now)
    return cursor


def test_messages_in_order_are_delivered_and_move_the_cursor() -> None:
    cursor = following(last=41)
    assert [cursor.message(1, 41 + n, n, 100.0) for n in (1, 2, 3)] == [Action.DELIVER] * 3
    assert cursor.last == 44
    assert cursor.following


def test_before_its_first_consumer_it_takes_nothing_and_does_not_mind() -> None:
    cursor = Cursor(5)
    assert cursor.message(0, 6, 1, 0.0) is Action.DROP
    assert cursor.heartbeat(0, 3, 0.0) is Action.DROP
    assert cursor.tick(1e9) is Action.DROP
    assert (cursor.last, cursor.following) == (5, False)


def test_generations_count_up() -> None:
    cursor = Cursor(0)
    assert [cursor.begin(0.0) for _ in range(3)] == [1, 2, 3]


@pytest.mark.parametrize("consumer_seq", [0, 2, 3])
def test_a_first_message_that_is_not_the_first_is_a_loss(consumer_seq: int) -> None:
    cursor = following()
    assert cursor.message(1, consumer_seq, consumer_seq, 100.0) is Action.RESET
    assert (cursor.last, cursor.following) == (0, False)


@pytest.mark.parametrize("consumer_seq", [1, 2, 4])
def test_a_number_that_does_not_follow_is_a_loss(consumer_seq: int) -> None:
    cursor = following()
    for number in (1, 2):
        cursor.message(1, number, number, 100.0)
    assert cursor.message(1, 9, consumer_seq, 100.0) is Action.RESET
    assert cursor.last == 2
    assert str(consumer_seq) in cursor.reason


def test_after_a_loss_nothing_counts_until_the_next_consumer() -> None:
    cursor = following()
    cursor.message(1, 2, 2, 100.0)
    assert cursor.message(1, 1, 1, 100.0) is Action.DROP
    assert cursor.heartbeat(1, 7, 100.0) is Action.DROP
    assert cursor.tick(1e9) is Action.DROP, "one reset is enough"
    cursor.begin(200.0)
    assert cursor.message(2, 1, 1, 200.0) is Action.DELIVER


def test_what_an_older_consumer_sends_is_ignored() -> None:
    cursor = following()
    cursor.message(1, 1, 1, 100.0)
    cursor.begin(101.0)
    assert cursor.message(1, 2, 2, 101.0) is Action.DROP
    assert cursor.heartbeat(1, 5, 101.0) is Action.DROP
    assert cursor.following
    assert cursor.message(2, 2, 1, 101.0) is Action.DELIVER


def test_an_older_consumer_does_not_break_the_silence() -> None:
    cursor = following(now=0.0)
    cursor.begin(0.0)
    cursor.message(1, 1, 1, 2.0)
    cursor.heartbeat(1, 0, 2.0)
    assert cursor.tick(SILENCE + 0.1) is Action.RESET


def test_an_event_that_was_taken_before_is_dropped_but_counts_as_delivered_by_the_consumer() -> None:
    cursor = following(last=10)
    assert cursor.message(1, 10, 1, 100.0) is Action.DROP
    assert cursor.message(1, 11, 2, 100.0) is Action.DELIVER
    assert cursor.following


def test_a_hole_in_the_stream_is_not_a_loss_on_the_way() -> None:
    cursor = following(last=10)
    assert cursor.message(1, 15, 1, 100.0) is Action.DELIVER
    assert cursor.last == 15


def test_a_heartbeat_that_names_what_was_taken_is_good_news() -> None:
    cursor = following()
    assert cursor.heartbeat(1, 0, 101.0) is Action.DROP
    cursor.message(1, 1, 1, 101.0)
    assert cursor.heartbeat(1, 1, 102.0) is Action.DROP
    assert cursor.following


@pytest.mark.parametrize("named", [0, 2, 9])
def test_a_heartbeat_that_names_another_number_is_a_loss(named: int) -> None:
    cursor = following()
    cursor.message(1, 1, 1, 100.0)
    assert cursor.heartbeat(1, named, 101.0) is Action.RESET
    assert str(named) in cursor.reason


def test_silence_longer_than_two_heartbeats_is_a_loss() -> None:
    cursor = following(now=100.0)
    assert cursor.tick(99.99 + SILENCE) is Action.DROP
    cursor.heartbeat(1, 0, 101.0)
    assert cursor.tick(100.99 + SILENCE) is Action.DROP
    cursor.message(1, 1, 1, 102.0)
    assert cursor.tick(101.99 + SILENCE) is Action.DROP
    assert cursor.tick(102.01 + SILENCE) is Action.RESET
    assert "silent" in cursor.reason


def test_two_heartbeats_of_a_second_fit_into_the_silence() -> None:
    assert 2.0 < SILENCE < 3.0


def test_a_rewound_cursor_takes_what_it_is_told_to_go_on_with() -> None:
    cursor = following(last=100)
    assert cursor.lost("made anew") is Action.RESET
    assert cursor.reason == "made anew"
    cursor.rewind(3)
    cursor.begin(200.0)
    assert cursor.message(2, 4, 1, 200.0) is Action.DELIVER
    assert cursor.last == 4
