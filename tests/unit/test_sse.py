"""The judge is judged: each case is a sentence or an example of WHATWG HTML 9.2.5 and 9.2.6."""

import pytest

from tests.sse import Parsed, Parser

CASES = [
    ("three events", b": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n",
     [("1", "message", "first event"), ("", "message", "second event"), ("", "message", " third event")]),
    ("empty data dispatches", b"data\n\ndata\ndata\n\ndata:", [("", "message", ""), ("", "message", "\n")]),
    ("one space is removed", b"data:test\n\ndata: test\n\n", [("", "message", "test"), ("", "message", "test")]),
    ("stocks", b"data: YHOO\ndata: +2\ndata: 10\n\n", [("", "message", "YHOO\n+2\n10")]),
    ("names", b"event: add\ndata: 1\n\ndata: 2\n\n", [("", "add", "1"), ("", "message", "2")]),
    ("no data, no event, but the id counts", b"id: 4\nevent: x\n\ndata: a\n\n", [("4", "message", "a")]),
    ("an id with NUL is ignored", b"id: 1\ndata: a\n\nid: 2\x003\ndata: b\n\n",
     [("1", "message", "a"), ("1", "message", "b")]),
    ("an empty id resets it", b"id: 1\ndata: a\n\nid:\ndata: b\n\n", [("1", "message", "a"), ("", "message", "b")]),
    ("unknown and misspelt fields", b"Data: a\n data: b\nfoo: c\ndata: d\n\n", [("", "message", "d")]),
    ("all line ends", b"data: a\rdata: b\r\ndata: c\n\r\ndata: d\r\r",
     [("", "message", "a\nb\nc"), ("", "message", "d")]),
    ("other separators stay", "data: a\u2028b\x85c\vd\fe\n\n".encode(), [("", "message", "a\u2028b\x85c\vd\fe")]),
    ("one BOM at the start", b"\xef\xbb\xbfdata: a\n\n\xef\xbb\xbfdata: b\n\n", [("", "message", "a")]),
    ("only one BOM", b"\xef\xbb\xbf\xef\xbb\xbfdata: a\n\ndata: b\n\n", [("", "message", "b")]),
    ("not UTF-8", b"data: a\xffb\n\n", [("", "message", "a\ufffdb")]),
    ("incomplete at the end", b"data: a\n\ndata: b\nid: 9\n", [("", "message", "a")]),
]  # fmt: skip


@pytest.mark.parametrize("size", [1, 2, 3, 1000])
@pytest.mark.parametrize(("stream", "events"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_a_stream_is_read_as_the_specification_says(
    stream: bytes, events: list[tuple[str, str, str]], size: int
) -> None:
    parser = Parser()
    got = [event for cut in range(0, len(stream), size) for event in parser.feed(stream[cut : cut + size])]
    assert [(event.id, event.event, event.data) for event in got] == events
    assert parser.close() == []


@pytest.mark.parametrize(
    ("line", "retry"),
    [("retry: 2500", 2500), ("retry:0", 0), ("retry: -5", 7), ("retry: 1.5", 7), ("retry:  9", 7), ("retry", 7),
     ("retry: \u0663", 7)],
)  # fmt: skip
def test_only_ascii_digits_are_a_reconnection_time(line: str, retry: int) -> None:
    parser = Parser(retry=7)
    assert parser.feed(f"{line}\ndata: a\n\n".encode()) == [Parsed("", "message", "a", retry)]
    assert parser.retry == retry


def test_the_last_id_moves_when_the_event_is_complete() -> None:
    parser = Parser(last_id="1")
    parser.feed(b"id: 2\ndata: a\n")
    assert parser.last_id == "1"
    parser.feed(b"\n")
    assert parser.last_id == "2"
    parser.feed(b"id: 3\n")
    parser.close()
    assert parser.last_id == "2"


def test_a_cr_dispatches_before_it_is_known_whether_an_lf_follows() -> None:
    parser = Parser()
    assert [event.data for event in parser.feed(b"data: a\r\n\r")] == ["a"]
    assert parser.feed(b"") == []
    assert [event.data for event in parser.feed(b"\ndata: b\n\n")] == ["b"]


def test_comments_are_kept_for_the_tests_that_count_heartbeats() -> None:
    parser = Parser()
    assert parser.feed(b":\n\n: hello\n\n") == []
    assert parser.comments == ["", " hello"]
