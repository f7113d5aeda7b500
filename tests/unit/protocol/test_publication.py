"""Events on their way in: what is taken, and what is refused with a sentence."""

import orjson
import pytest

from slipstream.demo import earthquakes
from slipstream.protocol.errors import Code, SlipstreamError
from slipstream.protocol.message_id import message_id
from slipstream.protocol.publication import Publication, parse_publication, publication

LIMIT = 1_000


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b'{"topic":"a.b","data":"as it is"}', Publication("a.b", b"as it is")),
        (b'{"topic":"a","data":{"n": [1, 2]}}\n', Publication("a", b'{"n":[1,2]}')),
        (
            b'{"topic":"a","data":[1.0, 1e400 ,0.1000000000000000055]}',
            Publication("a", b"[1.0,1e400,0.1000000000000000055]"),
        ),
        (b'{"topic":"a","data":123456789012345678901234567890}', Publication("a", b"123456789012345678901234567890")),
        (b'{"topic":"a","data":{"a":1,"a":"\\u0041"}}', Publication("a", b'{"a":1,"a":"\\u0041"}')),
        (b'{"topic":"a","data":"\\u0041"}', Publication("a", b"A")),
        (b'{"topic":"a","data":null}', Publication("a", b"null")),
        (b'{"topic":"a","data":""}', Publication("a", b"")),
        ('{"topic":"a","data":"東京"}'.encode(), Publication("a", "東京".encode())),
        (
            b'{"topic":"a","data":1,"event":"up","key":"k-1","id":"7"}',
            Publication("a", b"1", "up", "k-1", message_id("a", "7"), "7"),
        ),
        (b'{"topic":"a","data":1,"event":null,"key":null,"id":null}', Publication("a", b"1")),
        (b'{"topic":"a","data":1,"event":""}', Publication("a", b"1")),
        (b'{"t\\u006fpic":"\\u0061","data":1}', Publication("a", b"1")),
    ],
)
def test_a_line_is_an_event(line: bytes, expected: Publication) -> None:
    assert parse_publication(line, LIMIT) == expected


def test_an_event_without_an_id_gets_the_one_that_is_offered() -> None:
    assert parse_publication(b'{"topic":"a","data":1}', LIMIT, "k").message_id == message_id("a", "k")
    own = parse_publication(b'{"topic":"a","data":1,"id":"mine"}', LIMIT, "k")
    assert (own.id, own.message_id) == ("mine", message_id("a", "mine"))


def test_real_events_pass_unchanged() -> None:
    for event in earthquakes():
        found = parse_publication(orjson.dumps(event), 10_000)
        assert (found.topic, found.data) == (event["topic"], orjson.dumps(event["data"]))
        assert found.message_id == message_id(event["topic"], event["id"])


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (b"{", "not JSON"),
        (b'{"topic":"a","data":"\xff"}', "not UTF-8 at byte 21"),
        (b'["topic"]', "an object belongs"),
        (b'{"data":1}', "topic is missing"),
        (b'{"topic":null,"data":1}', "topic is missing"),
        (b'{"topic":"a"}', "data is missing"),
        (b'{"topic":"a","data":1,"Event":"x"}', "'Event' is not a field"),
        (b'{"topic":"a","topic":"a","data":1}', "'topic' is repeated"),
        (b'{"topic":"a","data":1,"d\\u0061ta":1}', "'data' is repeated"),
        (b'{"topic":"a.*","data":1}', "wildcard"),
        (b'{"topic":"","data":1}', "topic is a text"),
        (b'{"topic":7,"data":1}', "topic is a text"),
        (b'{"topic":"a","data":1,"event":"stream.gap"}', "reserved"),
        (b'{"topic":"a","data":1,"event":"error"}', "reserved"),
        (b'{"topic":"a","data":1,"event":" error"}', "spaces around"),
        (b'{"topic":"a","data":1,"event":["x"]}', "event is a text"),
        (b'{"topic":"a","data":1,"key":""}', "key is a text"),
        (b'{"topic":"a","data":1,"key":"k "}', "spaces around"),
        (b'{"topic":"a","data":1,"key":"a\\nb"}', "control character"),
        (b'{"topic":"a","data":1,"id":""}', "id is a text"),
        (b'{"topic":"a","data":1,"id":7}', "id is a text"),
        (b'{"topic":"a","data":1,"id":"' + b"i" * 257 + b'"}', "at most 256"),
        (b'{"topic":"a","data":"\\ud800"}', "surrogate"),
        (b'{"topic":"a","data":1,"id":"\\ud800"}', "surrogate"),
    ],
)
def test_what_is_wrong_is_said(line: bytes, says: str) -> None:
    with pytest.raises(SlipstreamError, match=says) as caught:
        parse_publication(line, LIMIT)
    assert (caught.value.code, caught.value.status) == (Code.BAD_REQUEST, 400)


@pytest.mark.parametrize(
    "line", [b'{"topic":"a","data":"' + b"x" * 1001 + b'"}', b'{"topic":"a","data":' + b"1" * 1001 + b"}"]
)
def test_too_much_data_has_a_status_of_its_own(line: bytes) -> None:
    with pytest.raises(SlipstreamError, match="1001 bytes, at most 1000") as caught:
        parse_publication(line, LIMIT)
    assert (caught.value.code, caught.value.status) == (Code.BAD_REQUEST, 413)


def test_data_that_is_no_text_is_refused_before_it_becomes_a_gap() -> None:
    with pytest.raises(SlipstreamError, match="not UTF-8 at byte 1"):
        publication("a", b"x\xff", limit=LIMIT)


def test_the_scope_of_an_id_is_the_topic_unless_another_is_given() -> None:
    assert publication("a", b"", limit=1, id_="1").message_id == message_id("a", "1")
    assert publication("a", b"", limit=1, id_="1", scope="/shop").message_id == message_id("/shop", "1")
    with pytest.raises(SlipstreamError, match="empty"):
        publication("a", b"", limit=1, id_="")
