"""One encoding for each record and look, shared by all readers to whom it looks so."""

import json

from slipstream.fanout.encode import Encoder
from slipstream.protocol.event import Record
from slipstream.protocol.position import Position
from slipstream.shape.chain import Link
from slipstream.shape.event import Event, Hook
from slipstream.shape.look import PLAIN, Look
from slipstream.shape.mask import phone
from slipstream.shape.masking import Masker
from slipstream.shape.shaper import Shaper
from tests.sse import Parsed as Sent
from tests.sse import Parser

TIME = 1_732_000_000_123
NOBODY: frozenset[str] = frozenset()
PII = frozenset({"pii:read"})
ENVELOPE = Look(NOBODY, envelope=True)
MASKERS = {NOBODY: Masker({"phone": phone}), PII: None}


def encoder(*hooks: Hook, masked: bool = False) -> Encoder:
    maskers = MASKERS if masked else {NOBODY: None}
    shaper = Shaper(maskers=maskers, links=[Link(f"hook{number}", hook) for number, hook in enumerate(hooks)])
    return Encoder("acme", "epoch000", 1, shaper)


def sent(frame: bytes) -> Sent:
    (event,) = Parser().feed(frame)
    return event


def test_a_record_is_a_frame_with_its_position_name_and_data() -> None:
    event = sent(encoder().frame(Record(42, TIME, "a", "price", "€ 1\nlast".encode()), PLAIN))
    assert Position.parse(event.id) == Position("epoch000", 42, TIME % 2**32)
    assert (event.event, event.data) == ("price", "€ 1\nlast")


def test_an_event_without_a_name_or_data_is_still_an_event() -> None:
    event = sent(encoder().frame(Record(1, TIME, "a", "", b""), PLAIN))
    assert (event.event, event.data) == ("message", "")


def test_what_cannot_be_delivered_is_told_as_a_gap_at_its_place() -> None:
    event = sent(encoder().frame(Record(42, TIME, "a", "", b"", fault="not UTF-8"), PLAIN))
    assert event.event == "stream.gap"
    assert Position.parse(event.id) == Position("epoch000", 42, TIME % 2**32)
    gap = json.loads(event.data)
    assert (gap["reason"], gap["code"]) == ("undeliverable", "SSE_UNDELIVERABLE")
    assert (gap["from"], gap["requested"], gap["certain"]) == (event.id, None, True)


def test_it_is_made_once_for_each_look() -> None:
    for fault in (None, "not UTF-8"):
        record = Record(42, TIME, "a", "", b"x", fault=fault)
        maker = encoder(masked=True)
        for look in (PLAIN, ENVELOPE, Look(PII, envelope=False)):
            assert maker.frame(record, look) is maker.frame(record, look)


def test_who_may_see_a_field_and_who_may_not_get_other_bytes() -> None:
    record = Record(42, TIME, "a", "", b'{"phone":"13812341234"}')
    maker = encoder(masked=True)
    assert sent(maker.frame(record, PLAIN)).data == '{"phone":"138****1234"}'
    assert sent(maker.frame(record, Look(PII, envelope=False))).data == '{"phone":"13812341234"}'


def test_an_envelope_says_the_topic() -> None:
    record = Record(42, TIME, "prices.eu", "price", b'{"a":1.0}')
    event = sent(encoder().frame(record, ENVELOPE))
    found = json.loads(event.data)
    assert (found["subject"], found["type"], found["source"]) == ("prices.eu", "price", "/tenants/acme")
    assert (found["id"], event.event) == (event.id, "price")
    assert event.data.endswith('"data":{"a":1.0}}')


def test_what_cannot_be_masked_is_told_as_withheld() -> None:
    event = sent(encoder(masked=True).frame(Record(42, TIME, "a", "", b"call 13812341234"), PLAIN))
    assert event.event == "stream.gap"
    assert json.loads(event.data)["code"] == "SSE_WITHHELD"
    assert "13812341234" not in event.data


def test_of_what_a_hook_drops_nothing_is_sent() -> None:
    assert encoder(lambda _: None).frame(Record(42, TIME, "a", "", b"x"), PLAIN) == b""


def test_a_signature_is_a_field_that_browsers_pass_over() -> None:
    def sign(event: Event) -> Event:
        return event._replace(signature="key-1:ab")

    frame = encoder(sign).frame(Record(42, TIME, "a", "", b"x"), PLAIN)
    assert b"signature: key-1:ab\n" in frame
    assert sent(frame).data == "x"
    assert (
        json.loads(sent(encoder(sign).frame(Record(42, TIME, "a", "", b"x"), ENVELOPE)).data)["signature"] == "key-1:ab"
    )
