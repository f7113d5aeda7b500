"""Streams that end at a time known from the beginning."""

from typing import Any

from slipstream.fanout.connection import Connection, Lifetime
from slipstream.fanout.lifetime import Due, Lifetimes

AUDIENCE: Any = None


def connection(number: int = 1) -> Connection:
    return Connection(-1, number, AUDIENCE, 0)


def lifetime(warn: float, end: float) -> Lifetime:
    return Lifetime(warn, end, b"soon", b"now")


def test_a_stream_is_warned_then_ended() -> None:
    table, one = Lifetimes(), connection()
    table.add(one, lifetime(90.5, 100))
    assert table.take(89.9) == []
    assert table.take(90) == [Due(one, b"soon", last=False)]
    assert table.take(99.9) == []
    assert table.take(100) == [Due(one, b"now", last=True)]
    assert table.take(1_000) == []
    assert len(table) == 0


def test_where_it_is_too_late_to_warn_it_is_ended() -> None:
    table, one = Lifetimes(), connection()
    table.add(one, lifetime(90, 100))
    assert table.take(200) == [Due(one, b"now", last=True)]


def test_an_end_between_two_seconds_is_not_before_its_time() -> None:
    table, one = Lifetimes(), connection()
    table.add(one, lifetime(100.2, 100.7))
    assert table.take(100.6) == [Due(one, b"soon", last=False)]
    assert table.take(100.9) == []
    assert table.take(101) == [Due(one, b"now", last=True)]


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


def test_thousands_that_come_and_go_keep_one_entry_a_second() -> None:
    table = Lifetimes()
    for number in range(10_000):
        one = connection(number)
        table.add(one, lifetime(90 + number % 3, 100))
        table.discard(one)
    assert len(table) == 0
    assert len(table._seconds) == 3
