"""Whatever JSON a producer writes: what is sent means the same, is compact, and keeps every token's spelling."""

import json
import re
import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipstream.protocol.cloudevents import envelope, parse_event, read_headers
from slipstream.protocol.errors import SlipstreamError
from slipstream.protocol.message_id import LENGTH, message_id
from slipstream.protocol.publication import parse_publication
from slipstream.protocol.raw_json import NotJson, is_json, parse_array, parse_object

LIMIT = 1_000_000
SPACES = st.text(" \t\r\n", max_size=3)
TEXTS = st.text(st.characters(codec="utf-8"), max_size=20)
NAMES = st.text(string.ascii_letters + string.digits + "-_", min_size=1, max_size=8)
TOPICS = st.lists(NAMES, min_size=1, max_size=4).map(".".join)
EVENTS = st.text(string.ascii_letters + ".é", max_size=12).filter(
    lambda name: name not in ("error", "open", "message") and not name.startswith("stream.")
)
INTEGERS = st.from_regex(re.compile(r"-?(0|[1-9][0-9]{0,40})"), fullmatch=True)
NUMBERS = st.one_of(
    INTEGERS, st.from_regex(re.compile(r"-?(0|[1-9][0-9]{0,25})(\.[0-9]{1,25})?([eE][+-]?[0-9]{1,4})?"), fullmatch=True)
)


@st.composite
def strings(draw: st.DrawFn) -> str:
    """A JSON string with some of its characters escaped in one way or another."""
    escape = draw(st.sampled_from([False, True]))
    return json.dumps(draw(TEXTS), ensure_ascii=escape)


@st.composite
def texts_of_json(draw: st.DrawFn, depth: int = 3) -> list[str]:
    """The tokens of a JSON value."""
    kind = draw(st.sampled_from(["scalar", "array", "object"] if depth else ["scalar"]))
    if kind == "scalar":
        return [draw(st.one_of(NUMBERS, strings(), st.sampled_from(["true", "false", "null"])))]
    parts: list[str] = []
    for number in range(draw(st.integers(0, 3))):
        parts += [","] * bool(number)
        if kind == "object":
            parts += [draw(strings()), ":"]
        parts += draw(texts_of_json(depth - 1))
    return ["[", *parts, "]"] if kind == "array" else ["{", *parts, "}"]


def spaced(data: st.DataObject, tokens: list[str]) -> str:
    return data.draw(SPACES) + "".join(token + data.draw(SPACES) for token in tokens)


@given(st.data())
def test_data_is_the_producers_own_tokens_without_the_space_between(data: st.DataObject) -> None:
    tokens = data.draw(texts_of_json())
    written = spaced(data, tokens)
    found = parse_publication(f'{{"topic":"a","data":{written}}}'.encode(), LIMIT).data
    if tokens[0].startswith('"'):
        assert found.decode() == json.loads(written)
    else:
        assert found.decode() == "".join(tokens)
        assert json.loads(found, parse_float=str, parse_int=str) == json.loads(written, parse_float=str, parse_int=str)


@given(st.data())
def test_an_array_is_read_as_one_by_one(data: st.DataObject) -> None:
    objects = [["{", '"data"', ":", *data.draw(texts_of_json(2)), "}"] for _ in range(data.draw(st.integers(0, 3)))]
    tokens = ["[", *[token for one in objects for token in (",", *one)][1:], "]"]
    found = [members or [] for members in parse_array(spaced(data, tokens))]
    assert [[(name, raw.compact) for name, raw in members] for members in found] == [
        [(name, raw.text) for name, raw in parse_object("".join(one))] for one in objects
    ]


@given(st.one_of(st.text(string.digits + '{}[]",:.eE+-\\ntrufalsNI \n\t', max_size=12), st.text(max_size=6)))
def test_what_is_json_is_what_the_standard_says(text: str) -> None:
    def refuse(constant: str) -> None:
        raise ValueError(constant)

    try:
        value: Any = json.loads(text, parse_constant=refuse)
    except ValueError:
        value = ...
    assert is_json(text) is (value is not ...)
    try:
        parse_object(text)
    except NotJson:
        assert not isinstance(value, dict)
    else:
        assert isinstance(value, dict)


@given(st.binary(max_size=60))
def test_no_body_does_more_than_be_refused(body: bytes) -> None:
    for read in (parse_publication, parse_event):
        with pytest.raises(SlipstreamError):
            read(body, 10)


@given(st.lists(st.tuples(st.sampled_from(["ce-id", "ce-source", "ce-type", "ce-subject"]), TEXTS), max_size=5))
def test_no_header_does_more_than_be_refused(headers: list[tuple[str, str]]) -> None:
    with pytest.raises(SlipstreamError):
        read_headers(headers, b"x", 10)


@given(TOPICS, EVENTS, st.data())
def test_an_event_comes_back_out_of_its_envelope(topic: str, event: str, data: st.DataObject) -> None:
    """What a reader gets as a CloudEvent can be published again, and is the same event."""
    texts = TEXTS.filter(lambda text: not is_json(text))
    payload = data.draw(st.one_of(texts, texts_of_json().map("".join))).encode()
    found = parse_event(envelope("acme", id_="k3v9x2ab-7", topic=topic, event=event, time_ms=7, data=payload), LIMIT)
    assert (found.topic, found.event, found.data) == (topic, event, payload)
    assert (found.id, found.message_id) == ("k3v9x2ab-7", message_id("/tenants/acme", "k3v9x2ab-7"))


@given(st.lists(st.tuples(TEXTS.map(lambda text: text.replace("\0", "")), TEXTS.filter(bool)), max_size=6, unique=True))
def test_message_ids_differ_where_scope_or_id_do(pairs: list[tuple[str, str]]) -> None:
    found = {message_id(scope, one) for scope, one in pairs}
    assert len(found) == len(pairs)
    assert all(len(one) == LENGTH for one in found)
