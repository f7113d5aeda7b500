"""Streams that end at a time known from the beginning."""

from typing import Any

from slipstream.fanout.connection import Connection, Lifetime
from slipstream.fanout.lifetime import Lifetimes

AUDIENCE: Any = None


def connection(number: int = 1) -> Connection:
    return Connection(-1, number, AUDIENCE, 0)


def lifetime(warn: float, end: float) -> Lifetime:
    return Lifetime(warn, end, b"soon", b"now")


def told(table: Lifetimes, now: float) -> list[tuple[Connection, bytes, bool]]:
    """Who is told what, and whether it is the last."""
    return [(due.connection, due.block, due.last) for due in table.take(now)]


def test_a_stream_is_warned_then_ended() -> None:
    table, one = Lifetimes(), connection()
    table.add(one, lifetime(90.5, 100))
    assert table.take(89.9) == []
    assert told(table, 90) == [(one, b"soon", False)]
    assert table.take(99.9) == []
    assert told(table, 100) == [(one, b"now", True)]
    assert table.take(1_000) == []
    assert len(table) == 0


def test_where_it_is_too_late_to_warn_it_is_ended() -> None:
    table, one = Lifetimes(), connection()
    table.add(one, lifetime(90, 100))
    assert told(table, 200) == [(one, b"now", True)]


def test_an_end_between_two_seconds_is_not_before_its_time() -> None:
    table, one = Lifetimes(), connection()
    table.add(one, lifetime(100.2, 100.7))
    assert told(table, 100.6) == [(one, b"soon", False)]
    assert table.take(100.9) == []
    assert told(table, 101) == [(one, b"now", True)]


def test_a_stream_that_has_ended_leaves_nothing_behind() -> None:
    table, gone, other = Lifetimes(), connection(1), connection(2)
    table.add(gone, lifetime(90, 100))
    table.add(other, lifetime(90, 100))
    table.discard(gone)
    table.discard(gone)
    table.discard(connection(3))
    assert len(table) == 1
    assert [due.connection for due in table.take(95)] == [other]
    assert gone.lifetime is None


def test_what_is_due_holds_until_the_stream_is_renewed_or_has_ended() -> None:
    table, renewed, gone, other = Lifetimes(), connection(1), connection(2), connection(3)
    for one in (renewed, gone, other):
        table.add(one, lifetime(90, 100))
    due = table.take(95)
    table.discard(renewed)
    table.add(renewed, lifetime(190, 200))
    table.discard(gone)
    assert [one.connection for one in due if one.holds] == [other]


def test_those_that_come_and_go_leave_nothing_however_long_their_tokens_are_good() -> None:
    table, stays = Lifetimes(), connection(0)
    table.add(stays, lifetime(500_000, 500_060))
    for number in range(10_000):
        one = connection(number)
        table.add(one, lifetime(1_000_000 + 60 * number, 2_000_000))
        table.discard(one)
    assert len(table) == 1
    assert len(table._slots) == 1
    assert len(table._seconds) < 2_000
    assert told(table, 500_000) == [(stays, b"soon", False)]
    assert told(table, 500_060) == [(stays, b"now", True)]


def test_a_second_that_was_left_and_is_taken_again_comes_once() -> None:
    table, gone, other = Lifetimes(), connection(1), connection(2)
    table.add(gone, lifetime(90, 100))
    table.discard(gone)
    table.add(other, lifetime(90, 100))
    assert told(table, 95) == [(other, b"soon", False)]
    assert told(table, 100) == [(other, b"now", True)]
    assert table.take(1_000) == []
