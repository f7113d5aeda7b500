import gzip
from functools import partial
from pathlib import Path

import orjson
import pytest

import slipstream
from slipstream.protocol.frame import LAST_CHUNK, chunk, comment, encode, retry, retry_line
from tests.sse import Parser

DEMO = Path(slipstream.__file__).parent / "demo"


@pytest.mark.parametrize(
    ("own_id", "event", "data", "frame"),
    [
        ("e-1", "delayed", b"{}", b"id: e-1\nevent: delayed\ndata: {}\n\n"),
        ("e-1", "", b"{}", b"id: e-1\ndata: {}\n\n"),
        ("", "delayed", b"{}", b"event: delayed\ndata: {}\n\n"),
        ("", "", b"", b"data: \n\n"),
        ("e-1", "", b"a\nb", b"id: e-1\ndata: a\ndata: b\n\n"),
        ("e-1", "", b"a\r\nb\rc\nd", b"id: e-1\ndata: a\ndata: b\ndata: c\ndata: d\n\n"),
        ("e-1", "", b"\n", b"id: e-1\ndata: \ndata: \n\n"),
        ("e-1", "", b"\r\r\n\n", b"id: e-1\ndata: \ndata: \ndata: \ndata: \n\n"),
        ("e-1", "", b" a", b"id: e-1\ndata:  a\n\n"),
        ("e-1", "", b"a\n\nid: 9", b"id: e-1\ndata: a\ndata: \ndata: id: 9\n\n"),
        ("e-1", "caf\u00e9", "\u2028".encode(), b"id: e-1\nevent: caf\xc3\xa9\ndata: \xe2\x80\xa8\n\n"),
    ],
)
def test_a_frame_is_exactly_these_bytes(own_id: str, event: str, data: bytes, frame: bytes) -> None:
    assert encode(own_id, event, data) == frame


@pytest.mark.parametrize("line_end", ["\v", "\f", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029", "\0"], ids=ascii)
def test_only_cr_and_lf_are_line_ends(line_end: str) -> None:
    data = f"a{line_end}b".encode()
    assert encode("e-1", "", data) == b"id: e-1\ndata: " + data + b"\n\n"


@pytest.mark.parametrize("text", ["a\nb", "a\rb", "a\0b", "a\n", "\n", "e-1\n\ndata: forged", "\u2028\n"], ids=ascii)
def test_an_id_or_name_cannot_carry_fields_of_its_own(text: str) -> None:
    for call in (partial(encode, text, "x", b""), partial(encode, "e-1", text, b""), partial(comment, text)):
        with pytest.raises(ValueError, match="CR, LF and NUL"):
            call()


def test_an_odd_but_harmless_name_is_sent() -> None:
    assert encode("e-1", "a\u2028b\x85", b"") == "id: e-1\nevent: a\u2028b\x85\ndata: \n\n".encode()


def test_half_a_surrogate_pair_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="surrogates"):
        encode("e-1", "\ud800", b"")


def test_a_comment() -> None:
    assert comment() == b":\n\n"
    assert comment("ok") == b": ok\n\n"


def test_a_retry_time() -> None:
    assert retry(3000) == b"retry: 3000\n\n"
    assert retry_line(1) == b"retry: 1\n"


@pytest.mark.parametrize("ms", [0, -5])
def test_a_retry_time_that_makes_a_hot_loop_is_refused(ms: int) -> None:
    with pytest.raises(ValueError, match="at least 1 ms"):
        retry(ms)


def test_a_chunk_has_its_size_in_hexadecimal() -> None:
    assert chunk(b"x") == b"1\r\nx\r\n"
    assert chunk(b"x" * 26) == b"1a\r\n" + b"x" * 26 + b"\r\n"
    assert chunk(b"\r\n") == b"2\r\n\r\n\r\n"
    assert LAST_CHUNK == b"0\r\n\r\n"


def test_an_empty_chunk_would_end_the_body() -> None:
    with pytest.raises(ValueError, match="LAST_CHUNK"):
        chunk(b"")


@pytest.mark.parametrize(("name", "count"), [("earthquakes", 1707), ("flights", 5000)])
def test_real_events_arrive_as_they_were_sent(name: str, count: int) -> None:
    """A week of earthquakes, with non-ASCII place names, and a year of flights, cut as TCP segments might be."""
    events = [orjson.loads(line) for line in gzip.decompress((DEMO / f"{name}.ndjson.gz").read_bytes()).splitlines()]
    sent = [(f"e-{number}", event["event"], orjson.dumps(event["data"])) for number, event in enumerate(events, 1)]
    stream = b"".join(encode(*event) for event in sent)
    parser = Parser()
    got = [event for cut in range(0, len(stream), 1447) for event in parser.feed(stream[cut : cut + 1447])]
    assert len(got) == count
    assert [(event.id, event.event, event.data.encode()) for event in got] == sent
