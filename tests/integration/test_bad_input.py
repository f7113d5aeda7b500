"""What is refused: with which status and document, and that the connection and the service are as good as before."""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from slipstream.app import Running
from tests.integration.answers import JSON, problem
from tests.integration.cluster import Cluster
from tests.integration.wire import Wire, call, request
from tests.servers import NatsServer

# One edge for the whole module: what is refused leaves nothing behind.
pytestmark = pytest.mark.asyncio(loop_scope="module")
LOOPS = ("uvloop",)


ID = "abcdefgh-5"


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def cluster(nats: NatsServer) -> AsyncIterator[Cluster]:
    async with Cluster.on(nats) as one:
        yield one


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def running(cluster: Cluster) -> AsyncIterator[Running]:
    async with cluster.edge(event_bytes=1000, body_deadline=0.5) as one:
        yield one


@pytest.mark.parametrize("path", ["/v1/events", "/v1/poll"])
@pytest.mark.parametrize(
    ("query", "headers", "says"),
    [
        ("topic=$JS.x", [], "character"),
        ("topic=a..b", [], "empty"),
        ("topic=", [], "empty"),
        ("topic=a%20b", [], "character"),
        ("topic=a.b.c.d.e.f.g.h.i", [], "9 tokens"),
        (f"topic={'x' * 65}", [], "65 characters"),
        ("topic=a.>.b", [], "last"),
        ("topic=a*", [], "character"),
        ("topic=a&topic=%00", [], "character"),
        ("topic=%ff", [], "character"),
        ("&".join(f"topic=t{number}" for number in range(33)), [], "33 topics"),
        ("", [f"Last-Event-ID: {'x' * 9000}"], "not an event id"),
        (f"last_event_id={'x' * 9000}", [], "not an event id"),
        ("", [f"Last-Event-ID: abcdefgh-5.{'k' * 118}"], "not an event id"),
        ("", ["Last-Event-ID: 5"], "not an event id"),
        ("", ["Last-Event-ID: ABCDEFGH-5"], "not an event id"),
        ("", ["Last-Event-ID: abcdefgh-05"], "not an event id"),
        ("", ["Last-Event-ID: abcdefgh--5"], "not an event id"),
        ("", ["Last-Event-ID: abcdefgh-18446744073709551616"], "not an event id"),
        ("", ["Last-Event-ID: abcdefgh-5-zzzzzzz"], "not an event id"),
        ("", ["Last-Event-ID: caf\udcc3\udca9-5"], "not an event id"),
        ("", ["Last-Event-ID: \udcff"], "not an event id"),
        ("last_event_id=abcdefgh-5%0d%0aevent:x", [], "not an event id"),
        ("", [f"Last-Event-ID: {ID}", f"Last-Event-ID: {ID}"], "repeated"),
        (f"last_event_id={ID}&last_event_id={ID}", [], "repeated"),
        ("since=yesterday", [], "since is"),
        ("since=2026-02-30T00:00:00Z", [], "since is"),
        ("since=2026-01-01T00:00:00", [], "since is"),
        ("since=1764000000", [], "since is"),
        ("since=now&since=now", [], "repeated"),
        ("heartbeat=loud", [], "heartbeat is"),
        ("envelope=soap", [], "envelope is"),
        ("refusal=maybe", [], "refusal is"),
    ],
)
async def test_a_read_that_is_malformed(
    cluster: Cluster, running: Running, path: str, query: str, headers: list[str], says: str
) -> None:
    answer = await call(running.server.port, cluster.target(query, path), "Accept: text/event-stream", *headers)
    assert says in problem(answer, 400, "BAD_REQUEST")
    assert not len(running.services.hub.reactor)


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("wait=31", "wait is a number from 0 to 30"),
        ("wait=-1", "wait is"),
        ("wait=nan", "wait is"),
        ("wait=1e1", "wait is"),
        ("wait=1&wait=1", "repeated"),
        ("limit=0", "limit is"),
        ("limit=1001", "limit is"),
        ("limit=1.5", "whole number"),
        ("limit=%D9%A3", "limit is"),
    ],
)
async def test_a_poll_that_is_malformed(cluster: Cluster, running: Running, query: str, says: str) -> None:
    answer = await call(running.server.port, cluster.target(query, "/v1/poll"))
    assert says in problem(answer, 400, "BAD_REQUEST")


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
async def test_the_tenant_is_named_once_and_known(cluster: Cluster, running: Running, method: str) -> None:
    port = running.server.port
    for target, headers, status, code in (
        ("/v1/events", [], 400, "BAD_REQUEST"),
        ("/v1/events?tenant=nobody", [], 404, "NOT_FOUND"),
        ("/v1/events?tenant=No_Label", [], 400, "BAD_REQUEST"),
        (f"/v1/events?tenant={cluster.tenant}%0a", [], 400, "BAD_REQUEST"),
        ("/v1/events?tenant=%ff", [], 400, "BAD_REQUEST"),
        (cluster.target(), ["X-Tenant-ID: another"], 400, "BAD_REQUEST"),
        (cluster.target(f"tenant={cluster.tenant}"), [], 400, "BAD_REQUEST"),
        ("/v1/events", [f"X-Tenant-ID: {cluster.tenant}"] * 2, 400, "BAD_REQUEST"),
        ("/v1/events", ["X-Tenant-ID: \udcff"], 400, "BAD_REQUEST"),
    ):
        body = b"{}" if method == "POST" else None
        answer = await call(port, target, JSON, "Accept: text/event-stream", *headers, method=method, body=body)
        if method == "HEAD":
            assert answer.status == status, target
        else:
            problem(answer, status, code)


def event(**fields: object) -> bytes:
    return json.dumps({"topic": "a.b", "data": "x", **fields}).encode()


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "one JSON object"),
        (b"{", "not JSON"),
        (b'{"topic":"a","data":"\xff"}', "not JSON"),
        (b'{"topic":"a","data":"\\ud800"}', "surrogate"),
        (b'{"topic":"a","data":NaN}', "not JSON"),
        (b'"text"', "one JSON object"),
        (b"null", "one JSON object"),
        (b'{"topic":"a.b"}', "data is missing"),
        (b'{"data":"x"}', "topic is missing"),
        (event(retry=1), "'retry' is not a field"),
        (event(topic=""), "topic is a text"),
        (event(topic=7), "topic is a text"),
        (event(topic="*"), "wildcard *"),
        (event(topic="ev.>"), "wildcard >"),
        (event(topic="$JS.API"), "character"),
        (event(topic="a. .b"), "character"),
        (event(topic="a..b"), "empty"),
        (event(topic=".a"), "empty"),
        (event(topic="a.b.c.d.e.f.g.h.i"), "9 tokens"),
        (event(topic="x" * 65), "65 characters"),
        (event(event="error"), "reserved"),
        (event(event="open"), "reserved"),
        (event(event="message"), "reserved"),
        (event(event="stream.ready"), "reserved"),
        (event(event=" error"), "space"),
        (event(event="done "), "space"),
        (event(event="a\nid: 5"), "control character"),
        (event(event="a\0"), "control character"),
        (event(event="a\u0085b"), "control character"),
        (event(event="e" * 129), "129 characters"),
        (event(event=5), "event is a text"),
        (event(key="k\r\nx"), "control character"),
        (event(key=" k"), "space"),
        (event(key="k" * 257), "257 characters"),
        (event(key=""), "key is a text"),
        (event(id=""), "id is a text"),
        (event(id=5), "id is a text"),
        (event(id="i" * 257), "256 characters"),
        (b'{"topic":"a","data":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested"),
        (b'{"topic":"a","data":1,"data":2}', "'data' is repeated"),
        (b'{"topic":"a","topic":"a","data":1}', "'topic' is repeated"),
    ],
)
async def test_a_publish_that_is_malformed(cluster: Cluster, running: Running, body: bytes, says: str) -> None:
    before = len(await stored(cluster, running))
    answer = await call(running.server.port, cluster.target(), JSON, method="POST", body=body)
    assert says in problem(answer, 400, "BAD_REQUEST")
    assert len(await stored(cluster, running)) == before


async def stored(cluster: Cluster, running: Running) -> list[object]:
    answer = await call(running.server.port, cluster.target("since=earliest", "/v1/poll"))
    return list(answer.json["events"])


@pytest.mark.parametrize(
    ("headers", "status", "says"),
    [
        (["Content-Type: text/plain"], 415, "application/json"),
        (["Content-Type: application/x-www-form-urlencoded"], 415, "application/json"),
        ([], 415, "application/json"),
        ([JSON, "Content-Encoding: gzip"], 400, "not gzip"),
        ([JSON, "Content-Encoding: br"], 415, "as gzip"),
        ([JSON, "Content-Encoding: gzip, gzip"], 415, "as gzip"),
        (["Content-Type: application/json; charset=utf-16"], 415, "UTF-8"),
        ([JSON, "Content-Encoding: identity"], 415, "Content-Encoding"),
        ([JSON, "Idempotency-Key: other"], 400, "differ"),
        ([JSON, "Idempotency-Key: mine", "Idempotency-Key: mine"], 400, "repeated"),
        ([JSON, f"Idempotency-Key: {'k' * 257}"], 400, ""),
        ([JSON, "Idempotency-Key: \udcff"], 400, ""),
    ],
)
async def test_a_publish_with_wrong_headers(
    cluster: Cluster, running: Running, headers: list[str], status: int, says: str
) -> None:
    answer = await call(running.server.port, cluster.target(), *headers, method="POST", body=event(id="mine"))
    assert says in problem(answer, status, "BAD_REQUEST")


async def test_a_body_that_is_too_large_is_refused_as_soon_as_it_is(cluster: Cluster, running: Running) -> None:
    problem(
        await call(running.server.port, cluster.target(), JSON, method="POST", body=event(data="x" * 1001)),
        413,
        "BAD_REQUEST",
    )
    wire = await cluster.wire(running.server.port)
    await wire.send(request(cluster.target(), JSON, "Content-Length: 100000000", method="POST"))
    await wire.send(b"x" * 70_000)
    problem(await wire.answer(), 413, "BAD_REQUEST")
    wire.close()


async def test_a_body_that_drips_ends_at_its_deadline(cluster: Cluster, running: Running) -> None:
    wire = await cluster.wire(running.server.port)
    await wire.send(request(cluster.target(), JSON, "Content-Length: 100", method="POST"))

    async def drip() -> None:
        while True:
            await wire.send(b" ")
            await asyncio.sleep(0.05)

    dripping = asyncio.create_task(drip())
    assert "0.5 s" in problem(await wire.answer(), 408, "TIMEOUT")
    dripping.cancel()
    await asyncio.gather(dripping, return_exceptions=True)
    wire.close()


async def test_a_chunked_body_that_breaks_is_a_bad_request(cluster: Cluster, running: Running) -> None:
    wire = await cluster.wire(running.server.port)
    await wire.send(request(cluster.target(), JSON, "Transfer-Encoding: chunked", method="POST"))
    await wire.send(b'5\r\n{"top\r\n')
    await asyncio.sleep(0.05)
    await wire.send(b"zz\r\n")
    problem(await wire.answer(), 408, "TIMEOUT")
    assert not await stored(cluster, running)
    wire.close()


@pytest.mark.parametrize(
    ("method", "path", "status", "allow"),
    [
        ("GET", "/", 404, None),
        ("GET", "/v1/events/", 404, None),
        ("GET", "/v1/stream", 404, None),
        ("GET", "/livez", 404, None),
        ("PUT", "/v1/events", 405, {"GET", "HEAD", "POST", "OPTIONS"}),
        ("DELETE", "/v1/events", 405, {"GET", "HEAD", "POST", "OPTIONS"}),
        ("POST", "/v1/poll", 405, {"GET", "OPTIONS"}),
    ],
)
async def test_what_is_not_there(running: Running, method: str, path: str, status: int, allow: set[str] | None) -> None:
    answer = await call(running.server.port, path, method=method, body=b"" if method != "GET" else None)
    problem(answer, status, "NOT_FOUND" if status == 404 else "BAD_REQUEST")
    assert (set(answer.headers["allow"].split(",")) if "allow" in answer.headers else None) == allow


@pytest.mark.parametrize(
    "data",
    [
        b"\0\xff\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 20_000 + b"\r\n\r\n",
        b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET http://[ HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X: y\r\n" * 200 + b"\r\n",
    ],
    ids=["noise", "header", "target", "http2", "url", "smuggling", "200 headers"],
)
async def test_what_is_no_http_is_400_and_nothing_of_it_comes_back(
    cluster: Cluster, running: Running, data: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    before = running.services.refusals.get("SSE_BAD_REQUEST", 0)
    wire = await cluster.wire(running.server.port)
    await wire.send(data)
    answer = await wire.answer()
    detail = problem(answer, 400, "BAD_REQUEST")
    assert detail == (
        "a line of the request's head has more than 16384 bytes: send a shorter URL, fewer cookies, or a shorter header"
        if len(data) > 20_000
        else "this is no HTTP request that can be read in one way alone"
    )
    assert answer.headers["connection"] == "close"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert running.services.refusals["SSE_BAD_REQUEST"] == before + 1
    assert not [record for record in caplog.records if record.levelname in ("WARNING", "ERROR")], "anybody can do this"
    wire.close()


async def test_no_answer_says_what_it_was_made_with(cluster: Cluster, running: Running) -> None:
    port = running.server.port
    stream = await cluster.stream(port)
    answers = [
        await call(port, cluster.target(), method="HEAD"),
        await call(port, cluster.target("topic=$")),
        await call(port, cluster.target("refusal=stream&topic=a"), "Origin: null", method="OPTIONS"),
        await call(port, cluster.target(path="/v1/poll")),
        await call(port, "/nowhere"),
        await call(running.server.admin_port, "/readyz"),
        await call(running.server.admin_port, "/nowhere"),
    ]
    for headers in (stream.head.headers, *(one.headers for one in answers)):
        assert "server" not in headers
    stream.wire.close()


async def test_a_refused_request_does_not_cost_the_connection(cluster: Cluster, running: Running) -> None:
    wire = await Wire.open(running.server.port)
    for target in (cluster.target("topic=$"), "/nowhere", cluster.target(path="/v1/poll"), cluster.target("since=x")):
        await wire.send(request(target))
        assert (await wire.answer()).status in (200, 400, 404)
    wire.close()


async def test_with_tokens_and_no_issuer_every_call_is_401(cluster: Cluster) -> None:
    async with cluster.edge(auth="jwt") as running:
        calls = itertools.product(("GET", "HEAD", "POST"), ("/v1/events", "/v1/poll"), ("", "refusal=stream&topic=$"))
        for method, path, query in calls:
            if method == "GET" or path == "/v1/events":
                answer = await call(
                    running.server.port,
                    cluster.target(query, path),
                    "Accept: text/event-stream",
                    "Authorization: Bearer x.y.z",
                    method=method,
                    body=b"{}" if method == "POST" else None,
                )
                assert answer.headers["www-authenticate"] == 'Bearer realm="slipstream", error="invalid_token"'
                assert "access-control-allow-origin" not in answer.headers
                if method == "HEAD":
                    assert answer.status == 401
                else:
                    problem(answer, 401, "UNAUTHORIZED")
        assert (await call(running.server.port, "/v1/events", method="OPTIONS")).status == 204
