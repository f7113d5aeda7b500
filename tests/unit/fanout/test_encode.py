"""One encoding for each record, shared by all its readers."""

import json

from slipstream.fanout.encode import frame_of
from slipstream.protocol.event import Record
from slipstream.protocol.position import Position
from tests.sse import Parser

TIME = 1_732_000_000_123


def test_a_record_is_a_frame_with_its_position_name_and_data() -> None:
    (event,) = Parser().feed(frame_of(Record(42, TIME, "a", "price", "€ 1\nlast".encode()), "epoch000"))
    assert Position.parse(event.id) == Position("epoch000", 42, TIME % 2**32)
    assert (event.event, event.data) == ("price", "€ 1\nlast")


def test_an_event_without_a_name_or_data_is_still_an_event() -> None:
    (event,) = Parser().feed(frame_of(Record(1, TIME, "a", "", b""), "epoch000"))
    assert (event.event, event.data) == ("message", "")


def test_what_cannot_be_delivered_is_told_as_a_gap_at_its_place() -> None:
    (event,) = Parser().feed(frame_of(Record(42, TIME, "a", "", b"", fault="not UTF-8"), "epoch000"))
    assert event.event == "stream.gap"
    assert Position.parse(event.id) == Position("epoch000", 42, TIME % 2**32)
    gap = json.loads(event.data)
    assert (gap["reason"], gap["code"]) == ("undeliverable", "SSE_UNDELIVERABLE")
    assert (gap["from"], gap["requested"], gap["certain"]) == (event.id, None, True)


def test_it_is_made_once() -> None:
    for fault in (None, "not UTF-8"):
        record = Record(42, TIME, "a", "", b"x", fault=fault)
        assert frame_of(record, "epoch000") is frame_of(record, "epoch000") is record.frame
