"""A NATS that does not answer: what is new is refused at once, what is open stays open, and nothing is lost."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from itertools import islice
from typing import Any

import pytest

from slipstream import demo
from slipstream.app import Running
from slipstream.fanout.connection import State
from tests.integration.cluster import Cluster
from tests.integration.wire import call, until
from tests.servers import NatsServer, wait_until

_EVENT_SOURCE = "Accept: text/event-stream"
_EVENTS = list(islice(demo.flights(), 20))
_SECONDS = 15.0
_AT_ONCE = 1.0
"""Less than any deadline of a request to NATS."""


@pytest.fixture
def thawed(nats: NatsServer) -> Iterator[NatsServer]:
    yield nats
    nats.resume()


@asynccontextmanager
async def frozen(nats: NatsServer, running: Running) -> AsyncIterator[None]:
    """NATS stands still, and the breaker is open."""
    nats.pause()
    try:
        await until(lambda: running.services.upstream.open, "the breaker opens", _SECONDS)
        yield
    finally:
        nats.resume()
    await until(lambda: not running.services.upstream.open, "the breaker closes", _SECONDS)


async def state(running: Running) -> dict[str, Any]:
    document = (await call(running.server.admin_port, "/statusz")).json
    breaker: dict[str, Any] = document["nats"]["breaker"]
    return breaker


async def proven(running: Running) -> None:
    """Before its first answer the probe proves nothing."""

    async def is_proven() -> bool:
        return bool((await state(running))["proven"])

    await wait_until(is_proven, seconds=_SECONDS, what="a probe was answered")


async def test_what_is_new_is_refused_at_once_and_what_is_open_goes_on(cluster: Cluster, thawed: NatsServer) -> None:
    async with cluster.edge(heartbeat=1.0) as running:
        port = running.server.port
        await proven(running)
        before = await state(running)
        assert (before["state"], before["reason"]) == ("closed", "")
        open_stream = await cluster.opened(port)
        await cluster.publish(running, _EVENTS[:3])
        first = await open_stream.published(3)
        async with frozen(thawed, running):
            began = time.monotonic()
            event = b'{"topic":"a","data":1}'
            refused = await asyncio.gather(
                call(port, cluster.target(), _EVENT_SOURCE),
                call(port, cluster.target("since=earliest")),
                call(port, cluster.target("", "/v1/poll")),
                call(port, cluster.target(), "Content-Type: application/json", method="POST", body=event),
            )
            assert time.monotonic() - began < _AT_ONCE
            assert [answer.status for answer in refused] == [200, 503, 503, 503]
            (error,) = refused[0].events
            assert (error.event, error.id) == ("error", "")
            assert b"SSE_UPSTREAM_UNAVAILABLE" in refused[0].body
            assert {answer.json["code"] for answer in refused[1:]} == {"SSE_UPSTREAM_UNAVAILABLE"}
            assert all("retry-after" in answer.headers for answer in refused[1:])
            assert (await call(running.server.admin_port, "/readyz")).status == 200
            assert (await call(running.server.admin_port, "/livez")).status == 200
            told = await state(running)
            assert told["state"] in ("open", "half-open")
            assert told["since"] > before["since"]
            assert told["reason"]
            await open_stream.comments(len(open_stream.parser.comments) + 2)
        assert (await state(running))["state"] == "closed"
        await cluster.publish(running, _EVENTS[3:6])
        ids = [event.id for event in first + await open_stream.published(3)]
        resumed = await cluster.opened(port, f"last_event_id={ids[0]}")
        assert [event.id for event in await resumed.published(5)] == ids[1:]


async def test_a_replay_that_is_under_way_waits_and_is_told_no_gap(cluster: Cluster, thawed: NatsServer) -> None:
    """Longer than a minute, and it is told to come back (`fanout.chase`)."""
    async with cluster.edge(ring_events=2) as running:
        await proven(running)
        stored = [await cluster.put("big", b"%04d" % number + b"x" * 50_000) for number in range(200)]
        reader = await cluster.stream(running.server.port, "since=earliest", rcvbuf=8192)
        await reader.one("stream.ready")
        seen = await reader.published(3)
        (connection,) = running.services.hub.reactor.connections()
        async with frozen(thawed, running):
            taking = asyncio.create_task(reader.published(len(stored) - len(seen)))
            # It gets what had been read for it, and its socket has room again.
            await until(lambda: connection.state is State.BEHIND and not connection.unsent, "it waits for NATS")
            assert connection.open
            assert connection.cursor < stored[-1]
        seen += await taking
        assert [int(event.data[:4]) for event in seen] == list(range(len(stored)))
