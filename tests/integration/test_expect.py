"""Bodies that a client holds back until it is asked for them (RFC 9110 section 10.1.1)."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from slipstream.app import Running
from tests.integration.answers import JSON
from tests.integration.cluster import Cluster
from tests.integration.wire import Wire, request
from tests.servers import NatsServer

# One edge for the whole module: what is refused leaves nothing behind.
pytestmark = pytest.mark.asyncio(loop_scope="module")
LOOPS = ("uvloop",)


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def cluster(nats: NatsServer) -> AsyncIterator[Cluster]:
    async with Cluster.on(nats) as one:
        yield one


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def running(cluster: Cluster) -> AsyncIterator[Running]:
    async with cluster.edge() as one:
        yield one


async def test_an_expectation_that_is_not_known_is_passed_over(cluster: Cluster, running: Running) -> None:
    body = b'{"topic":"a","data":1}'
    head = request(cluster.target(), JSON, f"Content-Length: {len(body)}", "Expect: <script>", method="POST")
    wire = await cluster.wire(running.server.port)
    await wire.send(head + body)
    assert (await wire.answer()).status == 200
    await wire.send(head.replace(b"<script>", b"100-Continue"))
    assert (await wire.head()).status == 100
    await wire.send(body)
    assert (await wire.answer()).status == 200
    await wire.send(request(cluster.target(), JSON, "Expect: 100-continue", method="POST", version="1.0", body=body))
    assert (await wire.answer()).status == 200, "HTTP/1.0 has no 100"
    wire.close()
    wire = await cluster.wire(running.server.port)
    for target, code in (("/nowhere", 404), ("/v1/poll", 405)):
        await wire.send(request(target, "Expect: <script>", method="POST"))
        answer = await wire.answer()
        assert (answer.status, b"<script>" in answer.body) == (code, False)
    wire.close()


async def test_a_body_that_is_refused_is_not_asked_for(cluster: Cluster, running: Running) -> None:
    wanted = (JSON, "Expect: 100-continue")
    for target, headers, status in (
        (cluster.target(), ("Content-Length: 900000000",), 413),
        (cluster.target(), ("Content-Length: 9", "Content-Encoding: br"), 415),
        (cluster.target("tenant=nobody"), ("Content-Length: 9",), 400),
        ("/v1/events?tenant=nobody", ("Content-Length: 9",), 404),
        ("/nowhere", ("Content-Length: 9",), 404),
        ("/v1/poll", ("Content-Length: 9",), 405),
    ):
        wire = await cluster.wire(running.server.port)
        await wire.send(request(target, *wanted, *headers, method="POST"))
        assert (await wire.head()).status == status
        wire.close()


@pytest.mark.parametrize(
    ("target", "method", "status"),
    [("/v1/events?tenant=nobody", "POST", 404), ("/v1/poll?since=x", "GET", 400), ("/v1/events", "OPTIONS", 204)],
)
async def test_an_answer_ends_the_connection_where_the_body_may_still_come_or_not(
    running: Running, target: str, method: str, status: int
) -> None:
    """What is sent next, by a client that keeps its body for itself (RFC 9110 section 10.1.1), is no body."""
    wire = await Wire.open(running.server.port)
    expecting = request(target, "Expect: 100-continue", "Content-Length: 9", method=method)
    await wire.send(expecting)
    head = await wire.head()
    assert (head.status, head.headers.get("connection")) == (status, "close")
    wire.close()
    wire = await Wire.open(running.server.port)
    for _ in range(2):
        await wire.send(expecting + b"123456789")
        answer = await wire.answer()
        assert (answer.status, answer.headers.get("connection")) == (status, None), "its end is known"
    wire.close()
