"""CloudEvents 1.0 in their three modes, and events as CloudEvents."""

import base64
import json
from typing import Any

import pytest

from slipstream.protocol.cloudevents import envelope, parse_event, read_headers
from slipstream.protocol.errors import Code, SlipstreamError
from slipstream.protocol.message_id import message_id
from slipstream.protocol.publication import Publication

LIMIT = 1_000
EVENT = {"specversion": "1.0", "id": "1", "source": "/shop/eu", "type": "com.example.placed", "subject": "orders.new"}
HEADERS = [(f"CE-{name}", text) for name, text in EVENT.items()]
MESSAGE_ID = message_id("/shop/eu", "1")


def structured(**changes: Any) -> Publication:
    event = {**EVENT, **changes}
    return parse_event(json.dumps({name: value for name, value in event.items() if value is not ...}).encode(), LIMIT)


def test_a_cloudevent_is_an_event() -> None:
    found = structured(data={"n": 1}, time="2018-04-05T17:31:00Z", comexampleextension1="value", dataschema=None)
    assert found == Publication("orders.new", b'{"n":1}', "com.example.placed", None, MESSAGE_ID, "1")


@pytest.mark.parametrize(
    ("member", "data"),
    [
        (b"", b""),
        (b',"data":{"n": 1.0, "m" :1e400}', b'{"n":1.0,"m":1e400}'),
        (b',"data":null', b"null"),
        # JSON format 3.1.2: with JSON, also an implied one, a string is a JSON string.
        (b',"data":"I\'m just a string"', b'"I\'m just a string"'),
        (b',"data":"x","datacontenttype":"application/json; charset=utf-8"', b'"x"'),
        (b',"data":"x","datacontenttype":"application/vnd.x+json"', b'"x"'),
        (b',"data":"x","datacontenttype":"text/JSON"', b'"x"'),
        (b',"data":"<much wow=\\"xml\\"/>","datacontenttype":"application/xml"', b'<much wow="xml"/>'),
        (b',"data":"","datacontenttype":"text/plain"', b""),
        (b',"data_base64":"' + base64.b64encode("東京".encode()) + b'"', "東京".encode()),
        (b',"data_base64":""', b""),
        (b',"data_base64":null,"data":1', b"1"),
    ],
)
def test_data_by_its_content_type(member: bytes, data: bytes) -> None:
    body = json.dumps(EVENT).encode()[:-1] + member + b"}"
    assert parse_event(body, LIMIT).data == data


def test_the_type_message_is_the_default_name() -> None:
    assert structured(type="message").event == ""


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"specversion": ...}, "specversion is missing"),
        ({"specversion": "0.3"}, "'0.3' is not known here: send 1.0"),
        ({"id": ...}, "id is missing"),
        ({"id": ""}, "id is a text"),
        ({"id": 1}, "id is a text"),
        ({"source": None}, "source is missing"),
        ({"source": "a\0b"}, "NUL"),
        ({"type": ...}, "type is missing"),
        ({"type": "stream.gap"}, "reserved"),
        ({"subject": ...}, "subject is missing"),
        ({"subject": "a.*"}, "wildcard"),
        ({"data": 1, "data_base64": "eA=="}, "both data and data_base64"),
        ({"data_base64": "%"}, "not base64"),
        ({"data_base64": "eA"}, "not base64"),
        ({"data_base64": "/w=="}, "not UTF-8"),
        ({"data_base64": 1}, "data_base64 is a text"),
        ({"data": {"n": 1}, "datacontenttype": "text/plain"}, "is a string"),
        ({"data": "\ud800"}, None),
        ({"data": "\ud800", "datacontenttype": "text/plain"}, "surrogate"),
    ],
)
def test_what_is_wrong_is_said(changes: dict[str, Any], says: str | None) -> None:
    if says is None:
        # An escape inside JSON: it is spelled in ASCII.
        assert structured(**changes).data == b'"\\ud800"'
        return
    with pytest.raises(SlipstreamError, match=says) as caught:
        structured(**changes)
    assert caught.value.code is Code.BAD_REQUEST


def test_an_attribute_that_comes_twice_is_refused() -> None:
    with pytest.raises(SlipstreamError, match="'id' is repeated"):
        parse_event(json.dumps(EVENT).encode()[:-1] + b',"id":"1"}', LIMIT)


def test_the_body_of_binary_mode_is_the_data() -> None:
    found = read_headers([("Content-Type", "application/json"), *HEADERS], b'{ "n" : 1 }', LIMIT)
    assert found == Publication("orders.new", b'{ "n" : 1 }', "com.example.placed", None, MESSAGE_ID, "1")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        # HTTP binding 3.1.3.2, with its own example.
        ("Euro%20%E2%82%AC%20%F0%9F%98%80", "Euro € 😀"),
        ("Euro%20%e2%82%ac", "Euro €"),
        ('"a \\"quoted\\" \\\\ one"', 'a "quoted" \\ one'),
        ('"%41"', "A"),
        ("%2541", "%41"),
        ("100%", "100%"),
        ('a"b', 'a"b'),
    ],
)
def test_a_header_is_decoded_once(value: str, text: str) -> None:
    headers = [(name, value if name == "CE-type" else known) for name, known in HEADERS]
    assert read_headers(headers, b"", LIMIT).event == text


@pytest.mark.parametrize(
    ("headers", "says"),
    [
        ([*HEADERS, ("ce-id", "2")], "'ce-id' is repeated"),
        (HEADERS[1:], "specversion is missing"),
        (HEADERS[:-1], "subject is missing"),
        ([*HEADERS[:-1], ("ce-subject", "%C0%A0")], "percent-encoded UTF-8"),
        ([*HEADERS[:-1], ("ce-subject", "")], "subject is missing"),
    ],
)
def test_headers_that_are_no_cloudevent(headers: list[tuple[str, str]], says: str) -> None:
    with pytest.raises(SlipstreamError, match=says):
        read_headers(headers, b"", LIMIT)


def test_an_event_as_a_cloudevent() -> None:
    found = envelope(
        "acme", id_="k3v9x2ab-7-1kz", topic="orders.new", event="placed", time_ms=1_522_949_460_007, data=b"1"
    )
    assert json.loads(found) == {
        "specversion": "1.0",
        "id": "k3v9x2ab-7-1kz",
        "source": "/tenants/acme",
        "type": "placed",
        "subject": "orders.new",
        "time": "2018-04-05T17:31:00.007Z",
        "datacontenttype": "application/json",
        "data": 1,
    }


@pytest.mark.parametrize(
    ("data", "content_type", "ending"),
    [
        (b'{ "n" : 1.0, "m": 1e400 }', "application/json", b',"data":{ "n" : 1.0, "m": 1e400 }}'),
        (b"123456789012345678901234567890", "application/json", b',"data":123456789012345678901234567890}'),
        (b"", "text/plain", b',"data":""}'),
        (b"NaN", "text/plain", b',"data":"NaN"}'),
        (b"{", "text/plain", b',"data":"{"}'),
        ("zwei\n„Zeilen“".encode(), "text/plain", ',"data":"zwei\\n„Zeilen“"}'.encode()),
    ],
)
def test_json_goes_in_as_it_is_spelled_and_all_else_as_a_string(data: bytes, content_type: str, ending: bytes) -> None:
    found = envelope("acme", id_="i", topic="a", event="", time_ms=0, data=data)
    assert found.endswith(ending)
    document = json.loads(found)
    assert (document["datacontenttype"], document["type"]) == (content_type, "message")
    assert "signature" not in document


def test_a_signature_is_an_extension_attribute() -> None:
    found = envelope("acme", id_="i", topic="a", event="", time_ms=0, data=b"1", signature="v1=ab")
    assert json.loads(found)["signature"] == "v1=ab"
