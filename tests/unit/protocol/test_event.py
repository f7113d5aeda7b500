import pytest

from slipstream.protocol.errors import Code, SlipstreamError
from slipstream.protocol.event import Record, check_event_name, check_key, make_record

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
UNPRINTABLE = ["a\rb", "a\nb", "a\0b", "\x1b[0m", "\x7f", "a\x85b", "a\x9fb", "\ud800"]


def make(
    topic: str = "flights.HNL.SFO", headers: dict[str, str] | None = None, payload: bytes = b"{}", limit: int = 100
) -> Record:
    return make_record(7, 1_764_000_000_000, topic, headers, payload, limit)


def test_a_message_without_headers_is_a_default_event() -> None:
    assert make() == Record(7, 1_764_000_000_000, "flights.HNL.SFO", "", b"{}")


def test_the_headers_become_fields() -> None:
    record = make(headers={"Sse-Event": "delayed", "Sse-Key": "order:1", "traceparent": TRACE, "Nats-Msg-Id": "x"})
    assert (record.event, record.key, record.traceparent, record.fault) == ("delayed", "order:1", TRACE, None)


def test_empty_headers_are_absent_and_names_are_case_sensitive() -> None:
    for headers in ({"Sse-Event": "", "Sse-Key": "", "traceparent": ""}, {"sse-event": "x", "SSE-Key": "y"}, {}):
        assert make(headers=headers) == make()


@pytest.mark.parametrize(
    "traceparent",
    [
        "",
        "junk",
        TRACE.upper(),
        f"ff{TRACE[2:]}",
        TRACE.replace("0af7651916cd43dd8448eb211c80319c", "0" * 32),
        TRACE.replace("b7ad6b7169203331", "0" * 16),
        f"{TRACE}\n",
        f"{TRACE}-{'x' * 100_000}",
    ],
    ids=["empty", "junk", "upper", "version ff", "no trace", "no parent", "newline", "huge"],
)
def test_a_malformed_traceparent_costs_the_trace_not_the_event(traceparent: str) -> None:
    assert make(headers={"traceparent": traceparent}) == make()


@pytest.mark.parametrize("payload", [b"", b"a\r\nb", b"\0", "Caf\u00e9 \u2028 \U0001f600".encode(), b"\xef\xbb\xbf"])
def test_any_utf8_is_delivered_as_it_is(payload: bytes) -> None:
    assert make(payload=payload).data is payload
    assert make(payload=payload).fault is None


@pytest.mark.parametrize(
    ("payload", "at"), [(b"\xff", 0), (b"ab\xc3", 2), (b"\xed\xa0\x80", 0), (b"a\xc0\xaf", 1)], ids=repr
)
def test_what_is_not_utf8_is_undeliverable(payload: bytes, at: int) -> None:
    record = make(headers={"Sse-Event": "x", "traceparent": TRACE}, payload=payload)
    assert record.fault is not None
    assert f"not UTF-8 at byte {at}:" in record.fault
    assert (record.data, record.event, record.traceparent) == (b"", "", TRACE)
    assert (record.seq, record.time_ms, record.topic) == (7, 1_764_000_000_000, "flights.HNL.SFO")


def test_the_size_limit_is_inclusive() -> None:
    assert make(payload=b"x" * 100).fault is None
    record = make(payload=b"x" * 101)
    assert record.data == b""
    assert record.fault is not None
    assert "101 bytes, at most 100" in record.fault


@pytest.mark.parametrize("topic", ["", "ev.*", "a..b", "a.>", "a b", "a.b.c.d.e.f.g.h.i"])
def test_a_topic_outside_the_grammar_is_undeliverable(topic: str) -> None:
    record = make(topic=topic)
    assert record.fault is not None
    assert "is not a topic" in record.fault
    assert (record.topic, record.data) == (topic, b"")


@pytest.mark.parametrize(
    "name", ["stream.gap", "stream.", "error", "open", "message", "x" * 129, *UNPRINTABLE], ids=ascii
)
def test_a_forbidden_name_is_refused_and_undeliverable(name: str) -> None:
    with pytest.raises(SlipstreamError) as caught:
        check_event_name(name)
    assert caught.value.code is Code.BAD_REQUEST
    record = make(headers={"Sse-Event": name, "Sse-Key": "k", "traceparent": TRACE})
    assert record.fault == caught.value.message
    assert (record.event, record.key, record.data, record.traceparent) == ("", None, b"", TRACE)


@pytest.mark.parametrize(
    "name", ["", "delayed", "stream", "streams.x", "Error", "a b", "caf\u00e9", "\u2028", "x" * 128]
)
def test_any_other_name_is_allowed(name: str) -> None:
    assert check_event_name(name) == name
    assert make(headers={"Sse-Event": name}).event == name


@pytest.mark.parametrize("key", ["x" * 257, *UNPRINTABLE], ids=ascii)
def test_a_bad_key_is_refused_and_undeliverable(key: str) -> None:
    with pytest.raises(SlipstreamError) as caught:
        check_key(key)
    assert caught.value.code is Code.BAD_REQUEST
    record = make(headers={"Sse-Key": key})
    assert record.fault == caught.value.message
    assert (record.key, record.data) == (None, b"")


@pytest.mark.parametrize("key", ["a", "order:1", "caf\u00e9 \u2028", "x" * 256])
def test_any_other_key_is_allowed(key: str) -> None:
    assert check_key(key) == key
    assert make(headers={"Sse-Key": key}).key == key


def test_an_empty_key_is_refused_where_one_is_asked_for() -> None:
    with pytest.raises(SlipstreamError, match="1 to 256"):
        check_key("")


def test_a_record_weighs_its_data_twice_its_topic_and_a_constant() -> None:
    """Twice, as the frame that is kept beside the data has it too; before there is a frame as well as after."""
    record = make(topic="a.b", payload=b"x" * 50)
    assert record.size == 2 * 50 + 3 + 300
    record.frame = b"data: " + record.data + b"\n\n"
    assert record.size == 2 * 50 + 3 + 300
    assert make(topic="a.b", payload=b"x" * 101).size == 3 + 300


def test_a_kept_frame_does_not_make_another_record() -> None:
    record = make()
    record.frame = b"data: {}\n\n"
    assert record == make()
    assert "frame" not in repr(record)
