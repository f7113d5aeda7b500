"""Every parser of what comes from outside, fed with anything: a value or the documented refusal, and nothing else.

Topics, event ids, JSON bodies, CloudEvents and retry preferences have theirs in tests/property. A parser that takes
more time than its input is long does not come to its end here: the long inputs would take minutes.
"""

import contextlib
import gzip
import json
import re
from collections.abc import Coroutine, Iterator, Mapping
from typing import Any, TypeVar, cast

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from hypothesis import given, settings
from hypothesis import strategies as st
from multidict import CIMultiDict, CIMultiDictProxy, MultiDict

from slipstream.auth.jwk import KeySet
from slipstream.auth.keyring import Keyring, SecretAbsent
from slipstream.auth.verify import TOKEN_BYTES, Verifier, peek
from slipstream.edge.body import _Gzip
from slipstream.edge.publications import Limits, read_publications
from slipstream.edge.query import accepts_gzip, parse_poll, parse_query, parse_tenant
from slipstream.jetstream.client import parse_headers
from slipstream.jetstream.subjects import parse_reply
from slipstream.protocol.cloudevents import parse_event
from slipstream.protocol.errors import Code, SlipstreamError
from slipstream.protocol.event import make_record
from slipstream.protocol.frame import encode
from slipstream.protocol.publication import Publication, parse_publication
from slipstream.protocol.retry import Preferences
from slipstream.protocol.topic import check_tenant
from slipstream.shape.event import Event
from slipstream.shape.signature import signing_input
from slipstream.tenants.document import TenantError, from_json, parse_tenants
from slipstream.tenants.issuer import Issuer
from slipstream.tenants.origin import cookie_allowed
from tests.security.attacks import attack
from tests.sse import Parser
from tests.tokens import ISSUER, b64, claims, ec_key, hmac_token, jwk, token

SOME = settings(max_examples=100, deadline=None, database=None)
T = TypeVar("T")
ANY = attack("any text, header, body, token, key set, document")

NASTY = st.sampled_from(
    ["\0", "\r\n", "\n", "\x85", "\u2028", "\ufeff", "\ud800", "%00", "../", "$JS", ">", "*", ".", " ", "\t", "-", "_",
     "a", "Z", "9", "\u0663", "\uff19", "1e9", "nan", "inf", "0x1", "''", '"', "\\", "{", "[", ":", ",", ";", "=", "&",
     "null", "true", "now", "event", "gzip;q=", "x" * 300]
)  # fmt: skip
TEXT = st.lists(NASTY, max_size=6).map("".join) | st.text(max_size=20)
HEADER = TEXT.map(lambda text: re.sub(r"[\r\n\0]", "", text))
SCALAR = st.none() | st.booleans() | st.integers() | st.floats() | TEXT
QUOTED = 600
"""Characters that a message has at most, whatever it quotes."""
VALUE = st.recursive(SCALAR, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3))


@contextlib.contextmanager
def refused(*statuses: int) -> Iterator[None]:
    """A value, or a refusal with one of these statuses, whose message quotes no more than a little."""
    try:
        yield
    except SlipstreamError as error:
        if error.status not in statuses or len(error.message) >= QUOTED:
            raise


@contextlib.contextmanager
def faulty() -> Iterator[None]:
    """A tenant document, or what is wrong with it."""
    try:
        yield
    except TenantError as error:
        if not error.faults:
            raise AssertionError("it does not say what is wrong") from error


def done(work: Coroutine[Any, Any, T]) -> T:
    """What comes of work that waits for nothing but its turn."""
    with contextlib.closing(work):
        while True:
            try:
                work.send(None)
            except StopIteration as end:
                return cast("T", end.value)


def as_header(text: str) -> str:
    """As aiohttp reads the bytes of a header: what is not UTF-8 is one half of a surrogate pair for each byte."""
    return text.encode("utf-8", "surrogatepass").decode("utf-8", "surrogateescape")


def mocked(*headers: tuple[str, str]) -> web.Request:
    """A request with these headers; what has no UTF-8 is sent raw, in test_fuzz."""
    clean = [(name, text.encode("utf-8", "replace").decode()) for name, text in headers]
    return make_mocked_request("POST", "/v1/events", headers=CIMultiDict(clean))


PARAMETERS = ("topic", "tenant", "last_event_id", "since", "heartbeat", "envelope", "refusal", "wait", "limit")
HEADERS = ("Last-Event-ID", "X-Tenant-ID", "Accept-Encoding", "Accept")


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
GOOD = token(KEY, claims(1_795_527_707.0))


def _secret(tenant: str, name: str) -> bytes:
    if (tenant, name) != ("acme", "dev"):
        raise SecretAbsent("no such secret")
    return SECRET


async def _never(url: str) -> bytes:
    raise AssertionError(f"{url} was asked for")


ISSUERS: Mapping[str, Issuer] = {
    ISSUER: Issuer.model_validate({"issuer": ISSUER, "keys": [jwk(KEY)]}),
    "other": Issuer.model_validate({"issuer": "other", "secret": "dev"}),
}


def verify(text: str) -> Any:
    verifier = Verifier(Keyring(_never, _secret, lambda: 0.0), lambda _: ISSUERS)
    return done(verifier.verify(text, 1_795_527_707.0))


@ANY
@SOME
@given(st.lists(TEXT | st.binary(max_size=30).map(b64), max_size=4).map(".".join).map(as_header))
def test_what_is_no_token(text: str) -> None:
    for look in (peek, verify):
        with pytest.raises(SlipstreamError) as caught:
            look(text)
        assert caught.value.code is Code.UNAUTHORIZED
        assert not text.strip(". ") or len(text) < 12 or text not in caught.value.message


@ANY
@SOME
@given(st.dictionaries(st.sampled_from(["alg", "kid", "typ", "crit", "b64", "jwk"]), VALUE, max_size=4), st.data())
def test_a_token_whose_parts_are_anything(header: dict[str, Any], data: st.DataObject) -> None:
    names = st.sampled_from(["iss", "sub", "aud", "tenant", "scope", "iat", "nbf", "exp", "jti", "topics"])
    changes = data.draw(st.dictionaries(names, VALUE, max_size=4))
    says = {**claims(1_795_527_707.0), **changes}
    texts = [f"{b64(json.dumps(header).encode('utf-8', 'replace'))}.{b64(json.dumps(says).encode())}.{b64(b'x' * 64)}"]
    texts.append(hmac_token(SECRET, {**says, "iss": "other"}))
    for text in texts:
        if len(text) > TOKEN_BYTES:
            continue
        with refused(401):
            found = verify(text)
            assert text == texts[1], "signed by nobody"
            assert found.tenant == says["tenant"]
            assert 0 < found.expires_at - 1_795_527_707 <= 86_400


@ANY
@SOME
@given(st.integers(0, len(GOOD) - 1), st.sampled_from("ABCxyz019-_.=+/ \0\u00e9"))
def test_a_token_with_one_other_character_is_another(at: int, character: str) -> None:
    text = GOOD[:at] + character + GOOD[at + 1 :]
    if text == GOOD:
        verify(text)
        return
    with pytest.raises(SlipstreamError):
        verify(text)


JWKS = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(("kty", "crv", "kid", "alg", "use", "n", "e", "x", "y", "d", "k", "key_ops"), VALUE)
)


@ANY
@SOME
@given(
    st.lists(st.one_of(JWKS, JWKS.map(lambda changes: {**jwk(KEY), **changes}), VALUE), max_size=3),
    st.binary(max_size=30),
)
def test_a_key_set(keys: list[Any], noise: bytes) -> None:
    for text in (
        json.dumps({"keys": keys}).encode("utf-8", "replace"),
        noise,
        json.dumps(keys).encode("utf-8", "replace"),
    ):
        try:
            found = KeySet.parse(text)
        except ValueError:
            continue
        assert 0 < len(found) <= len(keys)


@ANY
@pytest.mark.timeout(20)
def test_a_key_set_of_the_most_bytes() -> None:
    """256 KiB are read of an issuer: as many keys, or as large ones, as fit."""
    many = [{**jwk(KEY), "kid": str(number)} for number in range(256)]
    assert len(KeySet.parse(json.dumps({"keys": many}).encode())) == 256
    with pytest.raises(ValueError, match="at most 256"):
        KeySet.parse(json.dumps({"keys": [*many, jwk(KEY)]}).encode())
    huge = {"kty": "RSA", "n": b64(b"\xff" * 180_000), "e": b64(b"\x01" + b"\0" * 20_000 + b"\x01")}
    with contextlib.suppress(ValueError):
        KeySet.parse(json.dumps({"keys": [huge]}).encode())
    with pytest.raises(ValueError, match="JSON"):
        KeySet.parse(b'{"keys":' + b"[" * 250_000)


@ANY
@SOME
@given(st.binary(max_size=80) | st.lists(st.tuples(HEADER, TEXT), max_size=5).map(
    lambda pairs: b"NATS/1.0\r\n" + b"".join(f"{n}: {v}\r\n".encode("utf-8", "replace") for n, v in pairs) + b"\r\n"
))  # fmt: skip
def test_headers_of_nats(raw: bytes) -> None:
    found = parse_headers(raw)
    assert not any("\r\n" in text for pair in found.items() for text in pair)
    record = make_record(1, 1, "a", found, b"x", 10)
    assert record.fault or Parser().feed(encode("abcdefgh-1", record.event, b"x"))


@ANY
@SOME
@given(
    st.text("ab.*>$ \n", max_size=20) | TEXT,
    st.dictionaries(st.sampled_from(["Sse-Event", "Sse-Key", "traceparent", "Nats-Msg-Id"]), TEXT, max_size=4),
    st.binary(max_size=20) | TEXT.map(lambda text: text.encode("utf-8", "replace")),
)
def test_a_message_of_nats_is_an_event_or_a_gap(topic: str, headers: dict[str, str], payload: bytes) -> None:
    record = make_record(7, 9, topic, headers, payload, 15)
    if record.fault:
        assert (record.event, record.data, record.key) == ("", b"", None)
        assert len(record.fault) < 600
        return
    (event,) = Parser().feed(encode("abcdefgh-7", record.event, record.data))
    assert (event.id, event.event) == ("abcdefgh-7", record.event or "message")
    assert event.event not in ("error", "open")
    assert not event.event.startswith("stream.")
    assert event.data == re.sub("\r\n|\r", "\n", payload.decode())


@ANY
@SOME
@given(
    st.lists(TEXT | st.integers().map(str), max_size=14).map(lambda tokens: ".".join(["$JS", "ACK", *tokens])) | TEXT
)
def test_a_reply_subject(text: str) -> None:
    found = parse_reply(text)
    assert found is None or all(isinstance(part, int) for part in found)


DOCUMENT = {"apiVersion": "slipstream.dev/v1alpha1", "kind": "Tenant", "metadata": {"name": "acme"}, "spec": {}}
SPEC = ("retention", "quotas", "masking", "hooks", "cors", "issuers", "event_key", "signing", "publish", "retry",
        "event_bytes", "compression", "replay_events", "authorizer", "unknown")  # fmt: skip
YAML = st.lists(
    st.sampled_from(["a", ": ", "- ", "\n", "  ", "&a ", "*a", "!!", "!!python/object:os.system", "<<: ", "{", "}", "[",
                     "]", "|", ">", "---\n", "...", "%YAML 9\n", "#", "'", '"', "2001-99-99", "0b1", "1_0", "? ", "\t",
                     "kind: Tenant\n", "metadata: {name: acme}\n", "spec: ", "apiVersion: slipstream.dev/v1alpha1\n",
                     "\0", "\u2028", "~", "=", "0x", ".inf", "!!binary x", "!!set {a}"]),
    max_size=12,
).map("".join)  # fmt: skip


def check_tenants(text: str) -> None:
    with faulty():
        parse_tenants(text)


@ANY
@SOME
@given(YAML | TEXT)
def test_a_tenant_document_as_yaml(text: str) -> None:
    check_tenants(text)


@ANY
@SOME
@given(st.dictionaries(st.sampled_from(SPEC), VALUE, max_size=3), VALUE)
def test_a_tenant_document_whose_fields_are_anything(spec: dict[str, Any], other: Any) -> None:
    for document in ({**DOCUMENT, "spec": spec}, {**DOCUMENT, "spec": other}, {**DOCUMENT, "metadata": other}, other):
        text = json.dumps(document)
        check_tenants(text)
        with faulty():
            from_json(text.encode("utf-8", "surrogatepass"))


@ANY
@pytest.mark.timeout(20)
def test_a_tenant_document_that_grows() -> None:
    """Billion laughs: nine lines that name one another nine times each are 387 million values, written out."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 10)]
    bomb = "\n".join(lines)
    for text in (bomb, f"spec:\n  hooks: [{{name: drop, config: {{{', '.join(lines[:0])}}}}}]\n{bomb}"):
        check_tenants(text)
    for text in ("[" * 50_000, "{a: " * 50_000, "- " * 50_000, "&a " * 1000, "a: *a"):
        check_tenants(text)


@ANY
@SOME
@given(st.lists(st.tuples(TEXT, TEXT, TEXT, st.binary(max_size=12)), min_size=2, max_size=2, unique=True))
def test_no_two_events_have_one_text_to_sign(pairs: list[tuple[str, str, str, bytes]]) -> None:
    """A signature of one would be one of the other. Line ends in the data are one line end, as readers get them."""

    def clean(text: str) -> str:
        return re.sub(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]", "", text)

    events = [Event(clean(id_), clean(topic), clean(name), 0, data) for id_, topic, name, data in pairs]
    seen = {(one.id, one.topic, one.event, one.data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")) for one in events}
    assert len({signing_input(one) for one in events}) == len(seen)
