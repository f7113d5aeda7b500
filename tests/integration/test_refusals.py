"""Refusals that pass: told as a short stream to an EventSource, as a status to everybody else; and NATS away."""

import asyncio
import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from slipstream.app import Running
from slipstream.demo import earthquakes
from slipstream.jetstream.bucket import Bucket
from tests.integration.answers import EVENT_SOURCE, JSON, plain_status, problem, short_stream
from tests.integration.cluster import Cluster, text_of
from tests.integration.events import ids_of, seqs
from tests.integration.wire import Stream, call, request, until
from tests.servers import NatsServer

LOOPS = ("uvloop",)

QUAKES = list(itertools.islice(earthquakes(), 60))


async def all_forms(cluster: Cluster, port: int, code: str) -> None:
    """The forms in which one and the same passing refusal comes."""
    for query, headers, as_stream in (
        ("", [EVENT_SOURCE], True),
        ("refusal=stream", [], True),
        ("refusal=stream", ["Accept: application/json"], True),
        ("", [], False),
        ("", ["Accept: */*"], False),
        ("", ["Accept: text/event-stream, application/json"], False),
        ("refusal=status", [EVENT_SOURCE], False),
    ):
        answer = await call(port, cluster.target(query), *headers, "Origin: https://app.example")
        (short_stream if as_stream else plain_status)(answer, code)
        assert answer.headers["access-control-allow-origin"] == "*"


async def test_a_process_that_drains_takes_nobody_and_says_come_back(cluster: Cluster) -> None:
    async with cluster.edge() as running:
        running.services.draining = True
        await all_forms(cluster, running.server.port, "DRAINING")
        assert running.services.refusals == {"SSE_DRAINING": 7}
        plain_status(
            await call(running.server.port, cluster.target("refusal=stream", "/v1/poll"), EVENT_SOURCE), "DRAINING"
        )


async def test_a_refused_publish_is_never_a_stream(cluster: Cluster) -> None:
    """To a publisher a 200 would say: stored."""
    async with cluster.edge() as running:
        running.services.memory.limit = 1  # byte
        running.services.memory.sample(1)
        answer = await call(
            running.server.port,
            cluster.target("refusal=stream"),
            EVENT_SOURCE,
            JSON,
            method="POST",
            body=b'{"topic":"a","data":1}',
        )
        plain_status(answer, "OVERLOADED")


async def test_a_process_that_is_full_takes_the_next_when_one_has_left(cluster: Cluster) -> None:
    async with cluster.edge(max_connections=1) as running:
        port = running.server.port
        first = await cluster.opened(port)
        await all_forms(cluster, port, "OVERLOADED")
        # What will not pass keeps its status, or an EventSource would ask for ever.
        problem(await call(port, "/v1/events?tenant=nobody&refusal=stream", EVENT_SOURCE), 404, "NOT_FOUND")
        problem(await call(port, cluster.target("since=x"), EVENT_SOURCE), 400, "BAD_REQUEST")
        first.wire.close()
        await until(lambda: not len(running.services.hub.reactor), "the first has left")
        await cluster.opened(port)


async def test_the_limit_holds_against_many_at_once(cluster: Cluster) -> None:
    async with cluster.edge(max_connections=3) as running:
        heads = await asyncio.gather(
            *(cluster.stream(running.server.port, "since=earliest", "Accept: */*") for _ in range(30))
        )
        assert sorted(stream.head.status for stream in heads) == [200] * 3 + [503] * 27


@pytest.mark.parametrize("event", ["drain", "removal"])
async def test_what_changes_while_a_stream_begins_is_heeded(cluster: Cluster, event: str) -> None:
    async with cluster.edge() as running:
        wire = await cluster.held_up(running)
        if event == "drain":
            running.services.draining = True
        else:
            await Bucket(cluster.api).delete(cluster.tenant)
            await until(lambda: running.services.registry.get(cluster.tenant) is None, "removed")
        assert (await wire.answer()).status == 200
        problem(await wire.answer(), *((503, "DRAINING") if event == "drain" else (404, "NOT_FOUND")))


async def ready(running: Running) -> tuple[int, int]:
    """What the admin port says: ready, live."""
    port = running.server.admin_port
    return (await call(port, "/readyz")).status, (await call(port, "/livez")).status


async def test_an_edge_that_starts_before_nats_works_as_soon_as_nats_does(tmp_path: Path) -> None:
    nats = NatsServer(tmp_path)
    async with Cluster.edge_of(nats) as running:
        assert await ready(running) == (503, 200)
        port = running.server.port
        short_stream(await call(port, "/v1/events?tenant=acme", EVENT_SOURCE), "UPSTREAM_UNAVAILABLE")
        plain_status(await call(port, "/v1/events?tenant=acme"), "UPSTREAM_UNAVAILABLE")
        plain_status(await call(port, "/v1/poll?tenant=acme"), "UPSTREAM_UNAVAILABLE")
        event = b'{"topic":"a","data":1}'
        plain_status(
            await call(port, "/v1/events?tenant=acme", JSON, method="POST", body=event), "UPSTREAM_UNAVAILABLE"
        )
        status = (await call(running.server.admin_port, "/statusz")).json
        assert (status["nats"]["feed"], status["nats"]["api"]) == (False, False)
        async with nats:
            await until(lambda: running.services.ready, "ready", 15.0)
            assert await ready(running) == (200, 200)
            async with Cluster.on(nats) as cluster:
                await until(lambda: running.services.registry.get(cluster.tenant) is not None, "the tenant is known")
                stream = await cluster.opened(port)
                await cluster.publish(running, QUAKES[:3])
                assert [event.data for event in await stream.take(3)] == [text_of(event) for event in QUAKES[:3]]


async def test_streams_outlive_nats_and_lose_nothing(tmp_path: Path) -> None:
    async with NatsServer(tmp_path) as nats, Cluster.on(nats) as cluster, cluster.edge(heartbeat=0.3) as running:
        port = running.server.port
        stream = await cluster.opened(port)
        quiet = await cluster.opened(port, "topic=quiet")
        await cluster.publish(running, QUAKES[:20])
        ids = await ids_of(cluster, port, 20)
        await nats.kill()

        body = json.dumps({"topic": "retried", "data": "once", "id": "r-1"}).encode()
        refused = asyncio.create_task(call(port, cluster.target(), JSON, method="POST", body=body))
        await quiet.comments(len(quiet.parser.comments) + 2)
        # What needs nothing of NATS goes on working: a resume inside the ring.
        resumed = await cluster.opened(port, "", f"Last-Event-ID: {ids[9]}")
        assert seqs(await resumed.published(10)) == list(range(11, 21))
        # What needs it is told to come back.
        away = await call(port, cluster.target("since=earliest"), EVENT_SOURCE)
        short_stream(away, "UPSTREAM_UNAVAILABLE")
        plain_status(await refused, "UPSTREAM_UNAVAILABLE")
        assert await ready(running) == (200, 200)
        assert len(running.services.hub.reactor) == 3

        await nats.start()
        retried = await publish_until_stored(port, cluster, body)
        await cluster.publish(running, QUAKES[20:])
        expected = [text_of(event) for event in QUAKES[:20]] + ["once"] + [text_of(event) for event in QUAKES[20:]]
        events = await stream.published(len(expected))
        assert seqs(events) == list(range(1, len(expected) + 1))
        assert [event.data for event in events] == expected
        assert retried["seq"] == 21
        assert seqs(await resumed.published(len(expected) - 20)) == list(range(21, len(expected) + 1))
        assert await ready(running) == (200, 200)


async def publish_until_stored(port: int, cluster: Cluster, body: bytes) -> Any:
    """Retry a publish, as a producer would, until it is acknowledged."""
    async with asyncio.timeout(20):
        while True:
            answer = await call(port, cluster.target(), JSON, method="POST", body=body)
            if answer.status == 200:
                return answer.json
            plain_status(answer, "UPSTREAM_UNAVAILABLE")


async def test_a_refused_stream_reads_the_same_over_http_10(cluster: Cluster) -> None:
    async with cluster.edge() as running:
        running.services.draining = True
        wire = await cluster.wire(running.server.port)
        await wire.send(request(cluster.target(), EVENT_SOURCE, version="1.0"))
        stream = Stream(wire, await wire.head())
        assert [event.event for event in await stream.end()] == ["error"]
        assert stream.ended


async def test_without_tokens_nobody_is_told_to_ask_for_one(cluster: Cluster) -> None:
    async with cluster.edge() as running:
        answer = await call(running.server.port, cluster.target(path="/v1/streams"))
        assert "SLIPSTREAM_ANONYMOUS_SCOPES" in problem(answer, 403, "FORBIDDEN")
        assert (
            answer.json["fix"] == "Add admin to SLIPSTREAM_ANONYMOUS_SCOPES, or turn tokens on (SLIPSTREAM_AUTH=jwt)."
        )
