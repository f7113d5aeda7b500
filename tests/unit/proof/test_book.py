from tests.proof.book import Book
from tests.proof.checker import Event

A, B = Event("a.x", "n", "1"), Event("b.x", "n", "2")


def test_one_number_for_two_events_is_a_broken_promise() -> None:
    book = Book()
    book.ack(1, A)
    book.ack(1, B)
    assert len(book.broken) == 1
    assert "a.x and b.x" in book.broken[0]


def test_a_number_that_nobody_was_promised_is_a_hole() -> None:
    book = Book()
    book.ack(1, A)
    book.ack(4, B)
    assert book.holes() == [2, 3]


def test_the_last_match_is_bounded() -> None:
    book = Book()
    for seq, event in enumerate((A, B, A, B), 1):
        book.ack(seq, event)
    assert book.last_match((">",)) == 4
    assert book.last_match(("a.*",)) == 3
    assert book.last_match(("a.*",), 2) == 1
    assert book.last_match(("c.>",)) == 0
    assert Book().last_match((">",)) == 0
