"""Messages of NATS, tenant documents and signatures that are anything: read, or refused, in bounded time."""

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipstream.jetstream.client import parse_headers
from slipstream.jetstream.subjects import parse_reply
from slipstream.protocol.event import make_record
from slipstream.protocol.frame import encode
from slipstream.shape.event import Event
from slipstream.shape.signature import signing_input
from slipstream.tenants.document import from_json, parse_tenants
from tests.security.noise import ANY, HEADER, SOME, TEXT, VALUE, faulty
from tests.sse import Parser


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
