"""Whatever a producer publishes, a reader that knows only the specification gets it back."""

import re
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slipstream.protocol.frame import LAST_CHUNK, chunk, comment, encode, retry
from tests.sse import Parsed, Parser

FEW = settings(derandomize=True, deadline=None, max_examples=200, database=None)

# What Python, Unicode or a careless splitter takes for a line end, and what the grammar gives a meaning.
SEPARATORS = ["\r", "\n", "\r\n", "\v", "\f", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029"]
PIECES = [*SEPARATORS, "\0", " ", ":", "\ufeff", "data: ", "id: 9", "event: x", "retry: 1", "caf\u00e9", "\U0001f600"]

texts = st.text(st.characters(exclude_categories=["Cs"])) | st.lists(st.sampled_from(PIECES)).map("".join)
names = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n\0"), max_size=20)
datas = (
    texts.map(str.encode)
    | st.binary()
    | st.lists(st.sampled_from([p.encode() for p in PIECES] + [b"\xff"])).map(b"".join)
)
events = st.tuples(names, names, datas)


def as_read(data: bytes) -> str:
    return re.sub("\r\n|\r", "\n", data.decode("utf-8", "replace"))


def feed(stream: bytes, cuts: list[int]) -> list[Parsed]:
    """The events of a stream that arrives in slices that end at these places."""
    parser = Parser()
    places = [0, *sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]
    got = [event for begin, end in pairwise(places) for event in parser.feed(stream[begin:end])]
    assert parser.close() == []
    return got


@FEW
@given(st.lists(events, max_size=5), st.lists(st.integers(0, 10_000), max_size=10))
def test_events_arrive_whatever_they_contain_and_however_they_are_cut(
    sent: list[tuple[str, str, bytes]], cuts: list[int]
) -> None:
    stream = retry(2500) + comment() + b"".join(encode(*event) + comment("still here") for event in sent)
    got = feed(stream, cuts)
    last_id, expected = "", []
    for own_id, event, data in sent:
        last_id = own_id or last_id
        expected.append(Parsed(last_id, event or "message", as_read(data), 2500))
    assert got == expected


@FEW
@given(st.tuples(names, names, datas))
def test_a_frame_arrives_when_it_is_fed_byte_by_byte(event: tuple[str, str, bytes]) -> None:
    frame = encode(*event)
    parser = Parser()
    got = [parsed for index in range(len(frame)) for parsed in parser.feed(frame[index : index + 1])]
    assert got == [Parsed(event[0], event[1] or "message", as_read(event[2]), None)]


@FEW
@given(events)
def test_a_frame_has_one_blank_line_and_only_known_fields(event: tuple[str, str, bytes]) -> None:
    frame = encode(*event)
    assert frame.endswith(b"\n\n")
    assert b"\r" not in frame
    lines = frame[:-2].split(b"\n")
    fields = [line.split(b": ", 1)[0] for line in lines]
    head = [field for field, text in ((b"id", event[0]), (b"event", event[1])) if text]
    assert fields[: len(head)] == head
    assert set(fields[len(head) :]) == {b"data"}


@FEW
@given(st.text(), st.sampled_from("\r\n\0"), st.text())
def test_a_name_that_could_forge_a_field_is_never_sent(before: str, bad: str, after: str) -> None:
    text = before + bad + after
    with pytest.raises(ValueError, match="CR, LF and NUL"):
        encode(text, "x", b"")
    with pytest.raises(ValueError, match="CR, LF and NUL"):
        encode("e-1", text, b"")


@FEW
@given(st.lists(st.binary(min_size=1), max_size=5))
def test_chunks_carry_their_blocks(blocks: list[bytes]) -> None:
    body = b"".join(map(chunk, blocks)) + LAST_CHUNK
    got = []
    while not body.startswith(LAST_CHUNK):
        size, _, body = body.partition(b"\r\n")
        got.append(body[: int(size, 16)])
        assert body[int(size, 16) :][:2] == b"\r\n"
        body = body[int(size, 16) + 2 :]
    assert got == blocks
    assert body == LAST_CHUNK
