"""What producers write, in the lines that readers get."""

import json
import re
from typing import Any

import pytest

from slipstream.app import Running
from tests.integration.answers import JSON, problem
from tests.integration.cluster import Cluster
from tests.integration.wire import Answer, Stream, call, until
from tests.security import producer
from tests.security.attacks import attack
from tests.sse import Parsed

pytestmark = pytest.mark.asyncio(loop_scope="module")
LOOPS = ("uvloop",)

EVIL_FIELDS = "id: abcdefgh-1", "event: error", "retry: 1", "data: y", "", "event: stream.drain", "data: z"


async def post(cluster: Cluster, running: Running, *headers: str, body: object) -> Answer:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    kind = () if any(header.startswith("Content-Type") for header in headers) else (JSON,)
    return await call(running.server.port, cluster.target(), *kind, *headers, method="POST", body=data)


async def watched(cluster: Cluster, running: Running) -> Stream:
    return await cluster.opened(running.server.port, "topic=frames.>")


async def undeliverable(stream: Stream) -> dict[str, Any]:
    """The gap that a stream tells next."""
    told = await stream.one("stream.gap")
    document: dict[str, Any] = json.loads(told.data)
    assert (document["reason"], document["code"]) == ("undeliverable", "SSE_UNDELIVERABLE")
    return document


def lines(stream: Stream) -> list[bytes]:
    """Every line behind the first block, which is `retry` and `stream.ready`."""
    return b"".join(stream.blocks[1:]).split(b"\n")


def check_plain(stream: Stream, event: Parsed, data: str) -> None:
    """An event without a name, with an id of ours, and nothing else that it could have brought."""
    assert (event.event, event.data) == ("message", data)
    assert re.fullmatch(r"[a-z0-9]{8}-\d+-[0-9a-z]+", event.id)
    assert event.retry is not None
    assert event.retry >= 1000
    assert all(line.startswith((b"id: ", b"data: ")) or not line for line in lines(stream))
    assert not any(b"\r" in line for line in lines(stream))


@attack("CR, LF, CRLF in data")
@pytest.mark.parametrize("end", ["\n", "\r", "\r\n", "\n\n", "\r\r", "\n\r", "\r\n\r\n"], ids=ascii)
async def test_a_line_end_in_data_begins_no_field(cluster: Cluster, running: Running, end: str) -> None:
    stream = await watched(cluster, running)
    data = f"x{end}{end.join(EVIL_FIELDS)}{end}"
    shown = data.replace("\r\n", "\n").replace("\r", "\n")
    assert (await post(cluster, running, body={"topic": "frames.http", "data": data})).status == 200
    await cluster.put("frames.nats", data.encode())
    for event in await stream.take(2):
        check_plain(stream, event, shown)


@attack("CR, LF, CRLF in data")
@pytest.mark.parametrize("end", ["\v", "\f", "\x1c", "\x85", "\u2028", "\u2029"], ids=ascii)
async def test_no_other_character_ends_a_line(cluster: Cluster, running: Running, end: str) -> None:
    """Browsers leave them in the line: who splits by str.splitlines() would change the data."""
    stream = await watched(cluster, running)
    data = end.join(("x", *EVIL_FIELDS))
    assert (await post(cluster, running, body={"topic": "frames.http", "data": data})).status == 200
    (event,) = await stream.take()
    check_plain(stream, event, data)
    assert len(lines(stream)) == 4, "id, data, and the blank line"


@attack("CR or LF in an event's name or key")
@pytest.mark.parametrize(
    "headers",
    [
        b"Sse-Event: a\rdata: evil\r\n",
        b"Sse-Event: a\nid: abcdefgh-9\r\n",
        b"Sse-Event: a\n\ndata: evil\r\n",
        b"Sse-Event: a\xc2\x85b\r\n",
        b"Sse-Key: k\ndata: evil\r\n",
        b"Sse-Key: k\rretry: 1\r\n",
        b"Sse-Event: ok\nSse-Key: x\r\n",
    ],
)
async def test_a_line_end_in_a_nats_header_is_a_gap(cluster: Cluster, running: Running, headers: bytes) -> None:
    stream = await watched(cluster, running)
    await producer.publish(cluster.nats, f"sse.{cluster.tenant}.frames.raw", headers)
    await undeliverable(stream)
    assert b"evil" not in b"".join(stream.blocks)


@attack("CR or LF in an event's name or key")
@pytest.mark.parametrize("kind", ["a%0Aid: abcdefgh-1", "a%0D%0Adata: x", "a%0d", "%0a"])
async def test_a_line_end_in_a_cloudevents_header_is_refused(cluster: Cluster, running: Running, kind: str) -> None:
    """Binary mode percent-decodes (HTTP binding 3.1.3.2): what the HTTP parser let through is checked behind that."""
    attributes = "ce-specversion: 1.0", "ce-id: 1", "ce-source: s", "ce-subject: frames.ce", f"ce-type: {kind}"
    problem(await post(cluster, running, *attributes, body=b"x"), 400, "BAD_REQUEST")


@attack("NUL in an id or a name")
@pytest.mark.parametrize("headers", [b"Sse-Event: a\0b\r\n", b"Sse-Key: \0\r\n", b"Sse-Key: a\0\r\n"])
async def test_nul_in_a_nats_header_is_a_gap(cluster: Cluster, running: Running, headers: bytes) -> None:
    stream = await watched(cluster, running)
    await producer.publish(cluster.nats, f"sse.{cluster.tenant}.frames.raw", headers)
    await undeliverable(stream)
    assert b"\0" not in b"".join(stream.blocks)


@attack("NUL in an id or a name")
async def test_nul_over_http_is_refused(cluster: Cluster, running: Running) -> None:
    for field in ("event", "key", "topic"):
        body = {"topic": "frames.a", "data": 1, field: "a\0b"}
        problem(await post(cluster, running, body=body), 400, "BAD_REQUEST")
    for query in ("last_event_id=abcdefgh-5%00", "last_event_id=%00", "last_event_id=abcdefgh-5.%00"):
        problem(await call(running.server.port, cluster.target(query)), 400, "BAD_REQUEST")
    attributes = "ce-specversion: 1.0", "ce-id: 1", "ce-source: s", "ce-subject: frames.ce", "ce-type: a%00"
    problem(await post(cluster, running, *attributes, body=b"x"), 400, "BAD_REQUEST")


@attack("NUL in data")
async def test_nul_in_data_stays_where_it_is(cluster: Cluster, running: Running) -> None:
    stream = await watched(cluster, running)
    for data in ("before\0after", {"name": "before\0after"}):
        assert (await post(cluster, running, body={"topic": "frames.nul", "data": data})).status == 200
    text, document = await stream.take(2)
    check_plain(stream, text, "before\0after")
    assert document.data == '{"name":"before\\u0000after"}'


@attack("invalid UTF-8, half a surrogate pair")
@pytest.mark.parametrize(
    "data", [b"\xff", b"caf\xe9", b"\xc0\xae", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe2\x82", b"ok\n\x80\n"]
)
async def test_what_is_not_utf8_reaches_nobody(cluster: Cluster, running: Running, data: bytes) -> None:
    stream = await watched(cluster, running)
    problem(await post(cluster, running, body=b'{"topic":"frames.a","data":"' + data + b'"}'), 400, "BAD_REQUEST")
    attributes = "ce-specversion: 1.0", "ce-id: 1", "ce-source: s", "ce-subject: frames.ce", "ce-type: t"
    problem(await post(cluster, running, *attributes, body=data), 400, "BAD_REQUEST")
    await cluster.put("frames.raw", data)
    await undeliverable(stream)
    b"".join(stream.blocks).decode()


@attack("invalid UTF-8, half a surrogate pair")
async def test_a_name_that_is_not_utf8_is_the_same_for_everybody(cluster: Cluster, running: Running) -> None:
    stream = await watched(cluster, running)
    await producer.publish(cluster.nats, f"sse.{cluster.tenant}.frames.raw", b"Sse-Event: a\xff\xed\xa0\x80b\r\n")
    (event,) = await stream.take()
    b"".join(stream.blocks).decode()
    assert event.event == "a\ufffd\ufffd\ufffd\ufffdb"


@attack("invalid UTF-8, half a surrogate pair")
@pytest.mark.parametrize("field", ["data", "event", "key", "id", "topic"])
async def test_half_a_surrogate_pair_is_refused(cluster: Cluster, running: Running, field: str) -> None:
    for text in ("\\ud800", "\\udc00x", "x\\udfff\\ud800"):
        fields = {"topic": '"frames.a"', "data": "1", field: f'"{text}"'}
        body = "{" + ",".join(f'"{name}":{value}' for name, value in fields.items()) + "}"
        problem(await post(cluster, running, body=body.encode()), 400, "BAD_REQUEST")


@attack("a BOM")
async def test_a_bom_is_only_ever_data(cluster: Cluster, running: Running) -> None:
    bom = "\ufeff"
    await cluster.put("frames.bom", f"{bom}data: x".encode())
    stream = await cluster.stream(running.server.port, "topic=frames.bom&since=earliest")
    await stream.one("stream.ready")
    (event,) = await stream.take()
    assert stream.blocks[0].startswith(b"retry: ")
    assert event.data == f"{bom}data: x"
    for data in (f"a\n{bom}id: x", f"{bom}{bom}", bom):
        assert (await post(cluster, running, body={"topic": "frames.bom", "data": data})).status == 200
        (event,) = await stream.take()
        assert event.data == data
    problem(await post(cluster, running, body=f'{bom}{{"topic":"a","data":1}}'.encode()), 400, "BAD_REQUEST")


@attack("retry: from a producer")
async def test_a_producer_sets_no_retry(cluster: Cluster, running: Running) -> None:
    stream = await watched(cluster, running)
    before = stream.parser.retry
    for body in ({"topic": "frames.a", "data": 1, "retry": 0}, {"topic": "frames.a", "data": 1, "Retry": 0}):
        assert "is not a field" in problem(await post(cluster, running, body=body), 400, "BAD_REQUEST")
    event = {"specversion": "1.0", "id": "r", "source": "s", "type": "t", "subject": "frames.ce", "data": 1, "retry": 0}
    kind = "Content-Type: application/cloudevents+json"
    assert (await post(cluster, running, kind, body=event)).status == 200
    await cluster.put("frames.a", b"retry: 0\n\nretry: 0", {"retry": "0", "Sse-Retry": "0", "Retry": "0"})
    await stream.take(2)
    assert stream.parser.retry == before
    assert before is not None
    assert before >= 1000
    assert b"\nretry" not in b"".join(stream.blocks[1:])


RESERVED = "error", "open", "message", "stream.ready", "stream.gap", "stream.drain", "stream.x", "stream."


@attack("event: error, open, message, stream.*")
@pytest.mark.parametrize("name", RESERVED)
async def test_a_reserved_name_is_nobodys(cluster: Cluster, running: Running, name: str) -> None:
    stream = await watched(cluster, running)
    for spelling in (name, f" {name}", f"{name} ", f"\t{name}", f"{name}\n"):
        body = {"topic": "frames.a", "data": 1, "event": spelling}
        problem(await post(cluster, running, body=body), 400, "BAD_REQUEST")
    kind = "Content-Type: application/cloudevents+json"
    event = {"specversion": "1.0", "id": "e", "source": "s", "type": name, "subject": "frames.ce", "data": "x"}
    if name == "message":
        # The name of an event without one (CloudEvents must have a type): it is what it says.
        assert (await post(cluster, running, kind, body=event)).status == 200
        assert [one.event for one in await stream.take()] == ["message"]
    else:
        problem(await post(cluster, running, kind, body=event), 400, "BAD_REQUEST")
    for raw in (name, f"  {name}\t", f"\v{name}\f"):
        # NATS' readers trim what stands around a value: the trimmed one is judged.
        await producer.publish(cluster.nats, f"sse.{cluster.tenant}.frames.raw", f"Sse-Event: {raw}\r\n".encode())
        await undeliverable(stream)


@attack("a key that is no part of an id")
async def test_an_id_is_one_whatever_the_key_is(cluster: Cluster, running: Running) -> None:
    before = running.services.registry.get(cluster.tenant)
    await cluster.apply(event_key={"strategy": "key"})
    await until(lambda: running.services.registry.get(cluster.tenant) is not before, "the strategy is known")
    stream = await watched(cluster, running)
    keys = ["a b", "a\u2028b", "a.b-1", "../x", "id: y", "\u00e9" * 200, "x" * 256, "\u202eevil", "%0a", "*>"]
    try:
        for key in keys:
            body = {"topic": "frames.key", "data": 1, "key": key}
            assert (await post(cluster, running, body=body)).status == 200, key
            (event,) = await stream.take()
            assert re.fullmatch(r"[A-Za-z0-9._-]{1,128}", event.id), key
            again = await cluster.opened(running.server.port, "topic=nothing", f"Last-Event-ID: {event.id}")
            again.wire.close()
    finally:
        await cluster.apply()
