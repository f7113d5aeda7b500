from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipstream.client.parser import Message, Parser
from tests import sse


def parse(stream: bytes) -> list[Message]:
    return Parser().feed(stream)


def test_an_event_has_its_fields() -> None:
    assert parse(b"id: e-1\nevent: delayed\ndata: a\ndata: b\n\n") == [Message("e-1", "delayed", "a\nb")]


def test_without_a_name_it_is_message_and_without_an_id_the_last_one_stays() -> None:
    assert parse(b"id: 7\ndata: a\n\ndata: b\n\n") == [Message("7", "message", "a"), Message("7", "message", "b")]


def test_a_block_without_data_dispatches_nothing_but_moves_the_id() -> None:
    parser = Parser("3")
    assert parser.feed(b"event: x\nid: 9\n\n") == []
    assert parser.last_event_id == "9"
    assert parser.feed(b"data\n\n") == [Message("9", "message", "")]


def test_an_id_counts_only_once_its_block_is_complete() -> None:
    parser = Parser("3")
    parser.feed(b"id: 9\ndata: x\n")
    assert parser.last_event_id == "3"


def test_comments_unknown_fields_and_a_nul_in_an_id_are_ignored() -> None:
    assert parse(b": beat\nfoo: bar\nid: a\0b\ndata: x\n\n") == [Message("", "message", "x")]


def test_only_one_leading_space_is_taken_and_only_the_first_bom() -> None:
    assert parse(b"\xef\xbb\xbfdata:  x\n\n\xef\xbb\xbfdata: y\n\n") == [Message("", "message", " x")]


def test_retry_is_digits_alone() -> None:
    parser = Parser()
    assert parser.feed(b"retry: 1500\n\n") == []
    assert parser.retry == 1500
    assert parser.feed(b"retry: -1\nretry: 1e3\nretry: \ndata: x\n\n") == [Message("", "message", "x")]
    assert parser.feed(b"retry: 20\ndata: y\n\ndata: z\n\n") == [
        Message("", "message", "y", 20),
        Message("", "message", "z"),
    ]
    assert parser.retry == 20


@pytest.mark.parametrize("chunks", [(b"data: a\rdata: b", b"\n\n"), (b"data: a\r", b"", b"\ndata: b\n\n")])
def test_only_the_lf_right_after_a_cr_belongs_to_it_however_they_come(chunks: tuple[bytes, ...]) -> None:
    parser = Parser()
    assert [message for chunk in chunks for message in parser.feed(chunk)] == [Message("", "message", "a\nb")]


def test_an_event_beyond_the_bound_is_an_error_and_not_memory() -> None:
    with pytest.raises(ValueError, match="more than 100 bytes"):
        Parser(max_event_bytes=100).feed(b"data: " + b"x" * 95)
    assert Parser(max_event_bytes=100).feed(b"data: " + b"x" * 94) == []
    lines = Parser(max_event_bytes=100)
    assert lines.feed(b"data: 012345\n" * 8) == []
    with pytest.raises(ValueError, match="more than 100 bytes"):
        lines.feed(b"data: 012345\n")


def test_many_small_events_are_not_one_large_one() -> None:
    parser = Parser(max_event_bytes=100)
    assert sum(len(parser.feed(b"data: 0123456789\n\n: beat\n\n")) for _ in range(100)) == 100


_LINES = st.sampled_from(
    [
        *(b"data: a", b"data", b"data:", b"data:  \xc3\xa9\xe2\x80\xa8", b"data: \x85\x0b", b"id: 1", b"id"),
        *(b"event: e", b"event", b": c", b"retry: 10", b"retry: x", b"\xef\xbb\xbfdata: b", b"\xff", b"", b""),
    ]
)
_STREAMS = st.lists(st.tuples(_LINES, st.sampled_from([b"\n", b"\r", b"\r\n"])), max_size=40).map(
    lambda lines: b"".join(line + end for line, end in lines)
)


@given(_STREAMS)
def test_fed_byte_by_byte_it_agrees_with_itself(stream: bytes) -> None:
    parser = Parser()
    assert [message for byte in stream for message in parser.feed(bytes([byte]))] == parse(stream)


@given(_STREAMS, st.lists(st.integers(0, 200), max_size=30))
def test_cut_anywhere_it_agrees_with_an_independent_reader(stream: bytes, cuts: list[int]) -> None:
    ours, theirs = Parser(), sse.Parser()
    messages: list[Message] = []
    edges = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    for begin, end in pairwise(edges):
        messages += ours.feed(stream[begin:end])
    expected = theirs.feed(stream)
    assert [message[:3] for message in messages] == [(one.id, one.event, one.data) for one in expected]
    assert (ours.last_event_id, ours.retry) == (theirs.last_id, theirs.retry)
