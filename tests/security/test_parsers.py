"""Every parser of what comes from outside, fed with anything: a value or the documented refusal, and nothing else.

Topics, event ids, JSON bodies, CloudEvents and retry preferences have theirs in tests/property. A parser that takes
more time than its input is long does not come to its end here: the long inputs would take minutes.
"""

import contextlib
import gzip
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict, CIMultiDictProxy, MultiDict

from slipstream.auth.verify import peek
from slipstream.edge.body import _Gzip
from slipstream.edge.publications import Limits, read_publications
from slipstream.edge.query import accepts_gzip, parse_poll, parse_query, parse_tenant
from slipstream.protocol.cloudevents import parse_event
from slipstream.protocol.errors import SlipstreamError
from slipstream.protocol.frame import encode
from slipstream.protocol.publication import Publication, parse_publication
from slipstream.protocol.retry import Preferences
from slipstream.protocol.topic import check_tenant
from slipstream.tenants.origin import cookie_allowed
from tests.security.noise import (
    ANY,
    HEADER,
    HEADERS,
    PARAMETERS,
    SOME,
    TEXT,
    VALUE,
    done,
    mocked,
    refused,
)
from tests.sse import Parser
from tests.tokens import ec_key


@ANY
@SOME
@given(TEXT)
def test_a_tenants_name(text: str) -> None:
    with refused(400):
        assert re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", check_tenant(text))


@ANY
@SOME
@given(
    st.lists(st.tuples(st.sampled_from(PARAMETERS), TEXT), max_size=6),
    st.lists(st.tuples(st.sampled_from(HEADERS), HEADER), max_size=4),
)
def test_a_reads_parameters_and_headers(parameters: list[tuple[str, str]], headers: list[tuple[str, str]]) -> None:
    query, head = MultiDict(parameters), CIMultiDictProxy(CIMultiDict(headers))
    assert accepts_gzip(head) in (True, False)
    for parse in (
        lambda: parse_query(query, head).filters(32),
        lambda: parse_poll(query),
        lambda: parse_tenant(query, head),
    ):
        with refused(400):
            parse()


LONG = 16_000
"""Characters of a header line that an edge reads."""


@ANY
@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "unit", ["a", " ", ",", ";", "=", "-", ".", "\\", '"', '\\"', "gzip;q=", "0", "9", "a=b;", "(", "\t ", "1-"]
)
def test_a_header_that_is_long(unit: str) -> None:
    text = (unit * LONG)[:LONG]
    for lead in ("", "a", "gzip;q=0.", "2026-01-01T00:00:00", "abcdefgh-1-", 'a="'):
        value = lead + text
        head = CIMultiDictProxy(CIMultiDict({"Accept-Encoding": value, "Last-Event-ID": value}))
        accepts_gzip(head)
        Preferences.parse(value)
        cookie_allowed(value, value, None)
        mocked(("Cookie", value)).cookies  # noqa: B018 - reading it parses it
        with contextlib.suppress(SlipstreamError):
            peek(value)
        for parameters in ({"since": value}, {"topic": value}, {}):
            with contextlib.suppress(SlipstreamError):
                parse_query(MultiDict(parameters), head).filters(32)


@ANY
@SOME
@given(HEADER, st.sampled_from(["cross-site", "same-site", "same-origin", "none", "x"]) | HEADER, HEADER)
def test_a_cookie_and_what_a_browser_says_of_it(cookie: str, site: str, origin: str) -> None:
    request = mocked(("Cookie", f"a=b; {cookie}; __Host-slipstream=x"))
    assert all(isinstance(value, str) for value in request.cookies.values())
    if cookie_allowed(site, origin, None):
        assert site in ("same-site", "same-origin", "none")


KINDS = (
    "application/json",
    "application/x-ndjson",
    "application/cloudevents+json",
    "application/cloudevents-batch+json",
    "text/plain",
)
BODY = st.one_of(
    st.binary(max_size=40),
    VALUE.map(lambda value: json.dumps(value).encode("utf-8", "surrogatepass")),
    st.lists(
        st.fixed_dictionaries(
            {}, optional=dict.fromkeys(("topic", "data", "event", "id", "key", "retry", "subject", "type"), VALUE)
        ),
        max_size=3,
    ).map(lambda value: json.dumps(value).encode("utf-8", "surrogatepass")),
    st.lists(VALUE, max_size=3).map(lambda values: "\n".join(map(json.dumps, values)).encode("utf-8", "surrogatepass")),
)


@ANY
@SOME
@given(
    st.sampled_from(KINDS) | HEADER,
    BODY,
    st.lists(
        st.tuples(st.sampled_from(["Idempotency-Key", "ce-id", "ce-type", "ce-subject", "ce-"]), HEADER), max_size=4
    ),
)
def test_a_body_of_any_kind(kind: str, body: bytes, headers: list[tuple[str, str]]) -> None:
    request = mocked(("Content-Type", kind), *headers)
    items: list[Publication | SlipstreamError] = []
    with refused(400, 413, 415):
        items = done(read_publications(request, body, Limits(50, 3))).items
    for item in items:
        assert isinstance(item, Publication | SlipstreamError)
        if isinstance(item, Publication):
            assert len(item.data) <= 50
            item.data.decode()
            # What is let in can be stored, and be shown.
            frame = encode("abcdefgh-1", item.event, item.data)
            assert len(Parser().feed(frame)) == 1


@ANY
@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "unit", ["[", "{", '{"a":', '"', "\\", '"a",', "1,", '"a":1,', " ", "0", "\\u0041", '\\"', "-", "e"]
)
def test_a_body_that_is_long(unit: str) -> None:
    for lead in ("", "[", "{", '{"topic":"a","data":', '{"topic":"a","data":"', '{"data":{', '{"a'):
        body = (lead + unit * (400_000 // len(unit))).encode()
        for parse in (parse_publication, parse_event):
            with contextlib.suppress(SlipstreamError):
                parse(body, 1000)


@ANY
@SOME
@given(st.lists(st.binary(max_size=30), max_size=4), st.binary(max_size=20), st.integers(0, 60), st.integers(0, 255))
def test_a_body_of_gzip(members: list[bytes], tail: bytes, at: int, byte: int) -> None:
    packed = bytearray(b"".join(gzip.compress(member, mtime=0) for member in members) + tail)
    if at < len(packed):
        packed[at] = byte
    decoder = _Gzip(64)
    with refused(400, 413):
        for start in range(0, len(packed), 7):
            decoder.add(bytes(packed[start : start + 7]))
        assert len(decoder.end()) <= 64


KEY, SECRET = ec_key(), b"0123456789abcdef0123456789abcdef"
