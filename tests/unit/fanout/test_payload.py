"""Payloads that are kept for others who want the same. See also tests/property/test_audience.py."""

from slipstream.fanout.payload import Payload, Payloads


def made(text: bytes) -> Payload:
    return Payload([text], [1])


def test_what_was_made_is_made_once() -> None:
    kept = Payloads(100)
    first = kept.get("a", lambda: made(b"one"))
    assert kept.get("a", lambda: made(b"another")) is first
    assert kept.size == 3


def test_what_was_not_used_for_longest_makes_room() -> None:
    kept = Payloads(10)
    one = kept.get("a", lambda: made(b"12345"))
    kept.get("b", lambda: made(b"12345"))
    kept.get("a", lambda: made(b""))
    kept.get("c", lambda: made(b"12345"))
    assert kept.size == 10
    assert kept.get("a", lambda: made(b"")) is one
    assert kept.get("b", lambda: made(b"again")).data == b"again"


def test_what_is_larger_than_all_the_room_is_not_kept() -> None:
    kept = Payloads(3)
    assert kept.get("a", lambda: made(b"1234")).data == b"1234"
    assert kept.size == 0


def test_everything_can_be_let_go() -> None:
    kept = Payloads(100)
    kept.get("a", lambda: made(b"one"))
    kept.clear()
    assert kept.size == 0
    assert kept.get("a", lambda: made(b"two")).data == b"two"
