"""What a native EventSource does with our streams: shared gzip, resume, refusals that must not end it."""

import asyncio
from itertools import islice

import pytest

from slipstream.demo import earthquakes
from slipstream.fanout.connection import Ending
from slipstream.protocol import control
from tests.browser.conftest import Browser
from tests.integration.cluster import Cluster, text_of
from tests.servers import HOST

pytestmark = pytest.mark.timeout(120)


async def test_shared_gzip_is_read_event_by_event_and_resumed(browser: Browser, cluster: Cluster) -> None:
    events = list(islice(earthquakes(), 60))
    async with cluster.edge(retry_ms=1_000) as running:
        reactor = running.services.hub.reactor
        target = cluster.target("since=earliest")
        await browser.open(f"http://{HOST}:{running.server.port}{target}", "quake")
        await browser.until("stream.ready", 1)
        (connection,) = reactor.connections()
        assert connection.audience.view.gzip, "the browser did not ask for gzip"
        stored = await cluster.publish(running, events[:1])
        await browser.until("quake", 1, 5.0)  # one event is not held back by the compression
        stored += await cluster.publish(running, events[1:30])
        await browser.until("quake", 30)
        for one in reactor.connections():
            reactor.close(one, Ending.DRAIN, control.drain(1_000))
        stored += await cluster.publish(running, events[30:])
        seen = await browser.until("quake", 60)
    quakes = [one for one in seen if one[0] == "quake"]
    assert [one[2] for one in quakes] == [text_of(one) for one in events]
    assert [int(one[1].split("-")[1]) for one in quakes] == [one.seq for one in stored]
    assert [one[0] for one in seen if one[0] != "quake"] == [
        "stream.ready",
        "stream.drain",
        "transport",
        "stream.ready",
    ]
    second = [one for one in seen if one[0] == "stream.ready"][1]
    assert second[1].split("-")[:2] == quakes[29][1].split("-")[:2]


async def test_a_refusal_that_will_pass_does_not_end_it(browser: Browser, cluster: Cluster) -> None:
    async with cluster.edge(retry_ms=1_000) as running:
        running.services.draining = True
        await browser.open(f"http://{HOST}:{running.server.port}{cluster.target()}", "quake")
        await browser.until("error", 2)
        running.services.draining = False
        seen = await browser.until("stream.ready", 1)
    assert {one[0] for one in seen} == {"error", "transport", "stream.ready"}
    assert "SSE_DRAINING" in next(one[2] for one in seen if one[0] == "error")


async def test_a_refusal_that_stays_ends_it(browser: Browser, cluster: Cluster) -> None:
    async with cluster.edge() as running:
        await browser.open(f"http://{HOST}:{running.server.port}/v1/events?tenant=nobody", "quake")
        seen = await browser.until("transport", 1)
        await asyncio.sleep(2)
        assert seen[-1][3] == 2  # CLOSED
        assert len(browser.seen) == 1
