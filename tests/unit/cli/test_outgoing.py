"""Events on their way out: what is taken, and what is refused with a sentence."""

import orjson
import pytest

from slipstream.cli.publish.outgoing import Outgoing, outgoing, parse_line
from slipstream.demo import earthquakes
from slipstream.protocol.errors import Code, SlipstreamError
from slipstream.protocol.message_id import message_id

LIMIT = 1_000


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b'{"topic":"a.b","data":"as it is"}', Outgoing("a.b", b"as it is")),
        (b'{"topic":"a","data":{"n": [1, 2]}}\n', Outgoing("a", b'{"n":[1,2]}')),
        (b'{"topic":"a","data":null}', Outgoing("a", b"null")),
        (b'{"topic":"a","data":""}', Outgoing("a", b"")),
        ('{"topic":"a","data":"東京"}'.encode(), Outgoing("a", "東京".encode())),
        (
            b'{"topic":"a","data":1,"event":"up","key":"k-1","id":"7"}',
            Outgoing("a", b"1", "up", "k-1", message_id("a", "7")),
        ),
        (b'{"topic":"a","data":1,"event":null,"key":null,"id":null}', Outgoing("a", b"1")),
    ],
)
def test_a_line_is_an_event(line: bytes, expected: Outgoing) -> None:
    assert parse_line(line, LIMIT) == expected


def test_real_events_pass_unchanged() -> None:
    for event in earthquakes():
        found = parse_line(orjson.dumps(event), 10_000)
        assert (found.topic, orjson.loads(found.data)) == (event["topic"], event["data"])
        assert found.message_id == message_id(event["topic"], event["id"])


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (b"{", "not JSON"),
        (b'["topic"]', "not an object"),
        (b'{"data":1}', "topic is missing"),
        (b'{"topic":"a"}', "data is missing"),
        (b'{"topic":"a","data":1,"Event":"x"}', "'Event' is not a field"),
        (b'{"topic":"a.*","data":1}', "wildcard"),
        (b'{"topic":"","data":1}', "is not a topic"),
        (b'{"topic":7,"data":1}', "topic is not a text"),
        (b'{"topic":"a","data":1,"event":"stream.gap"}', "reserved"),
        (b'{"topic":"a","data":1,"event":"error"}', "reserved"),
        (b'{"topic":"a","data":1,"event":["x"]}', "event is not a text"),
        (b'{"topic":"a","data":1,"key":""}', "1 to 256"),
        (b'{"topic":"a","data":1,"key":"a\\nb"}', "control character"),
        (b'{"topic":"a","data":1,"id":""}', "empty"),
        (b'{"topic":"a","data":1,"id":7}', "id is not a text"),
        (b'{"topic":"a","data":"' + b"x" * 1001 + b'"}', "1001 bytes, at most 1000"),
    ],
)
def test_what_is_wrong_is_said(line: bytes, says: str) -> None:
    with pytest.raises(SlipstreamError, match=says) as caught:
        parse_line(line, LIMIT)
    assert caught.value.code is Code.BAD_REQUEST


def test_data_that_is_no_text_is_refused_before_it_becomes_a_gap() -> None:
    with pytest.raises(SlipstreamError, match="not UTF-8 at byte 1"):
        outgoing("a", b"x\xff", limit=LIMIT)
