"""Whatever comes from outside is a value of its type or the documented refusal, and what is printed is read again."""

import json
import math
import re
from ipaddress import ip_address, ip_network
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import MultiDict

from slipstream.auth.revocations import Kind, Revocation, read_revocation
from slipstream.edge.address import Network, client_address, counted_as
from slipstream.edge.authorize import bearer
from slipstream.edge.query import parse_listing
from slipstream.edge.revocations import Wanted, read_wanted
from slipstream.edge.sessions import StreamId
from slipstream.edge.trace import begin
from slipstream.jetstream.lease_bucket import granted
from slipstream.jetstream.peers import _read, _told
from slipstream.protocol.errors import Code, SlipstreamError
from tests.security.noise import ANY, HEADER, SOME, TEXT, VALUE, mocked, refused

DIGITS = st.text("0123456789", max_size=25)
DIGITS_OF_ALL = st.text(st.characters(categories=("Nd", "No")), max_size=5)
DOCUMENT = VALUE.map(lambda value: json.dumps(value).encode("utf-8", "surrogatepass"))
TENANT = "acme"


def told(members: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[bytes]:
    """JSON objects of these members, each as it should be or anything; some of them left out, and others there."""
    each = {name: right | VALUE for name, right in members.items()}
    objects = st.fixed_dictionaries({}, optional={**each, "x": VALUE}) | st.fixed_dictionaries(each)
    return objects.map(lambda value: json.dumps(value).encode("utf-8", "surrogatepass"))


@ANY
@SOME
@given(TEXT | DIGITS | st.builds("{}.{}".format, st.text("0aZé", max_size=70), DIGITS | DIGITS_OF_ALL | TEXT))
def test_any_text_is_a_stream_id_or_none(text: str) -> None:
    found = StreamId.parse(text)
    if found is not None:
        assert re.fullmatch(r"[0-9A-Za-z]+\.[0-9]+", text)
        assert StreamId.parse(f"{found.process}.{found.number}") == found
        # It goes to another edge as JSON.
        assert orjson.loads(orjson.dumps({"number": found.number})) == {"number": found.number}


@ANY
@SOME
@given(st.from_regex(r"[0-9a-f]{8}", fullmatch=True), st.integers(0, 10**15 - 1))
def test_a_stream_id_that_was_told_is_read(process: str, number: int) -> None:
    assert StreamId.parse(f"{process}.{number}") == (process, number)


ADDRESS = st.ip_addresses().map(str)
ENTRY = st.one_of(
    ADDRESS,
    ADDRESS.map("[{}]:80".format),
    st.ip_addresses(v=4).map("{}:443".format),
    st.ip_addresses(v=4).map("::ffff:{}".format),
    ADDRESS.map("{}%eth0".format),
    TEXT,
)
NETWORKS: tuple[Network, ...] = (ip_network("0.0.0.0/1"), ip_network("8000::/1"), ip_network("::/2"))


@ANY
@SOME
@given(st.none() | ENTRY, st.lists(st.lists(ENTRY, max_size=20).map(", ".join), max_size=3))
def test_any_forwarded_for_is_an_address_or_none(peer: str | None, forwarded: list[str]) -> None:
    found = client_address(peer, forwarded, NETWORKS)
    if not found:
        assert client_address(peer, (), ()) == "", "only where the peer has none"
        return
    assert str(ip_address(found)) == found
    assert client_address(found, (), ()) == found
    ip_network(counted_as(found))
    assert client_address(peer, forwarded, ()) == client_address(peer, (), ()), "nobody is believed"


@ANY
@SOME
@given(HEADER | HEADER.map("Bearer {}".format) | HEADER.map("bearer {}".format), st.lists(HEADER, max_size=1))
def test_any_authorization_is_a_token_none_or_refused(text: str, more: list[str]) -> None:
    with refused(400, 401):
        found = bearer(mocked(*(("Authorization", value) for value in (text, *more))))
        assert not more
        assert (found is None) == (not text.strip()), "what is empty is absent, and nothing else"
        if found is not None:
            assert found
            assert found == found.strip()
            assert found in text.encode("utf-8", "replace").decode()
    assert bearer(mocked(("Cookie", "a=b"))) is None


@ANY
@SOME
@given(st.from_regex(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*", fullmatch=True))
def test_a_bearer_token_is_read_as_it_was_sent(text: str) -> None:
    for scheme in ("Bearer", "bearer", "BEARER"):
        assert bearer(mocked(("Authorization", f"{scheme} {text}"))) == text


WANTED = told(
    {
        "subject": st.text(min_size=1, max_size=20),
        "token_id": st.text(min_size=1, max_size=20),
        "tenant": st.just(True),
        "reason": st.text(max_size=20),
    }
)


@ANY
@SOME
@given(st.binary(max_size=40) | DOCUMENT | WANTED)
def test_any_body_says_what_to_revoke_or_is_refused(body: bytes) -> None:
    with refused(400):
        wanted = read_wanted(body, TENANT)
        assert wanted.kind is not Kind.TENANT or wanted.name == TENANT
        # What is taken can be written, and read again.
        made = Revocation.of(TENANT, wanted.kind, wanted.name, 1_795_537_000.5, wanted.reason)
        assert read_revocation(made.key, made.to_json()) == made


@ANY
@SOME
@given(st.sampled_from(["subject", "token_id"]), st.text(min_size=1, max_size=256), st.just("") | st.text("abc é"))
def test_what_is_asked_to_be_revoked_is_revoked(way: str, name: str, reason: str) -> None:
    try:
        body = orjson.dumps({way: name, "reason": reason})
    except orjson.JSONEncodeError:
        return  # half a surrogate pair is no JSON
    kind = Kind.SUBJECT if way == "subject" else Kind.TOKEN
    assert read_wanted(body, TENANT) == Wanted(kind, name, reason)


ENTRIES = told(
    {
        "tenant": st.just(TENANT),
        "kind": st.sampled_from([kind.value for kind in Kind]),
        "name": TEXT,
        "at": st.integers(),
        "until": st.integers(),
        "reason": TEXT,
    }
)


@ANY
@SOME
@given(TEXT | st.sampled_from(["acme.subject.", "acme.tenant.0"]), st.binary(max_size=40) | DOCUMENT | ENTRIES)
def test_any_entry_is_a_revocation_or_broken(key: str, data: bytes) -> None:
    try:
        found = read_revocation(key, data)
    except ValueError:
        return
    assert found.key == key


@ANY
@SOME
@given(st.lists(st.tuples(st.sampled_from(["subject", "limit", "x"]), TEXT | DIGITS | DIGITS_OF_ALL), max_size=4))
def test_any_parameters_ask_for_a_list_or_are_refused(parameters: list[tuple[str, str]]) -> None:
    with refused(400):
        found = parse_listing(MultiDict(parameters))
        assert 1 <= found.limit <= 1_000
        assert found.subject != ""


@ANY
@SOME
@given(st.integers(1, 1_000), st.text(min_size=1, max_size=20))
def test_a_list_that_is_asked_for(limit: int, subject: str) -> None:
    assert parse_listing(MultiDict({"limit": str(limit), "subject": subject})) == (subject, limit)


HEX = st.text("0123456789abcdef", min_size=2, max_size=2)
TRACEPARENT = st.builds(
    "{}-{}-{}-{}{}".format,
    st.sampled_from(["00", "01", "ff", ""]),
    st.text("0a9fAZ", min_size=31, max_size=33) | st.just("0" * 32) | st.just("a" * 32),
    st.text("0a9f", min_size=16, max_size=16) | TEXT,
    HEX | TEXT,
    st.just("") | TEXT,
)


@ANY
@SOME
@given(st.none() | TEXT | TRACEPARENT)
def test_any_traceparent_is_gone_on_with_or_begun_anew(text: str | None) -> None:
    found = begin(text)
    assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}", found.header)
    assert found.trace_id != "0" * 32
    if text is not None and found.trace_id in text:
        assert text == f"00-{found.trace_id}-{text[36:52]}-{found.flags}"
    onward = begin(found.header)
    assert (onward.trace_id, onward.flags) == (found.trace_id, found.flags)


ANSWERS = told(
    {
        "process": st.just("0a1b2c3d"),
        "answer": st.dictionaries(st.text("ab"), VALUE, max_size=2),
        "error": st.none()
        | st.fixed_dictionaries(
            {
                "code": st.sampled_from([code.value for code in Code]) | VALUE,
                "message": VALUE,
                "status": st.integers() | VALUE,
                "retry_after": VALUE,
            },
            optional={"fix": VALUE},
        ),
    }
)


def answered(raw: bytes) -> tuple[str, dict[str, Any]] | SlipstreamError:
    try:
        return _read(raw)
    except SlipstreamError as error:
        return error


@ANY
@SOME
@given(st.binary(max_size=40) | DOCUMENT | ANSWERS)
def test_any_answer_of_another_edge_is_a_document_or_an_error(raw: bytes) -> None:
    read = answered(raw)
    if isinstance(read, SlipstreamError):
        # It is told to a client as it is.
        assert isinstance(read.message, str)
        assert isinstance(read.fix, str)
        assert type(read.status) is int
        assert read.retry_after is None or math.isfinite(read.retry_after)
    else:
        assert isinstance(read[0], str)
        assert isinstance(read[1], dict)


TEXTS = st.text(st.characters(codec="utf-8"), max_size=20)


@ANY
@SOME
@given(
    st.sampled_from(Code), TEXTS, st.none() | st.integers(400, 599), st.none() | TEXTS, st.none() | st.floats(0, 1e6)
)
def test_an_error_is_told_to_another_edge_as_it_is(
    code: Code, message: str, status: int | None, fix: str | None, retry_after: float | None
) -> None:
    error = SlipstreamError(code, message, status=status, fix=fix, retry_after=retry_after)
    with pytest.raises(SlipstreamError) as caught:
        _read(orjson.dumps({"process": "a", "error": _told(error)}))
    assert vars(caught.value) == vars(error)


@ANY
@SOME
@given(
    st.binary(max_size=40)
    | DOCUMENT
    | st.dictionaries(TEXT, st.integers() | DIGITS | st.floats() | VALUE, max_size=3).map(
        lambda value: json.dumps(value).encode("utf-8", "surrogatepass")
    )
)
def test_any_document_is_shares_or_none(data: bytes) -> None:
    for process, count in granted("quota.acme", data).items():
        assert isinstance(process, str)
        assert type(count) is int
        assert count >= 0


@ANY
@SOME
@given(st.dictionaries(st.text("0123456789abcdef", min_size=8, max_size=8), st.integers(0, 2**53), max_size=5))
def test_shares_that_were_written_are_read(document: dict[str, int]) -> None:
    assert granted("quota.acme", orjson.dumps(document)) == document
