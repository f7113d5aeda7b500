"""What browsers make of our CORS: the allowed page reads and publishes with credentials, another gets nothing."""

import asyncio
from itertools import islice

import pytest

from slipstream.app import Running
from slipstream.demo import earthquakes
from tests.browser.conftest import Browser
from tests.integration.cluster import Cluster, text_of
from tests.integration.wire import until
from tests.servers import HOST

pytestmark = pytest.mark.timeout(120)

QUAKES = list(islice(earthquakes(), 5))
CREDENTIALS = {"credentials": "yes", "publish": '{"topic":"page","event":"mine","data":"hello"}'}


async def allow(cluster: Cluster, running: Running, origin: str) -> None:
    tenant = await cluster.apply(cors={"origins": [origin]})
    await until(lambda: running.services.registry.get(cluster.tenant) == tenant, "the rules are known")


async def test_a_page_of_an_allowed_origin_reads_and_publishes_with_credentials(
    browser: Browser, cluster: Cluster
) -> None:
    async with cluster.edge() as running:
        origin = await browser.serve()
        await allow(cluster, running, origin)
        stored = await cluster.publish(running, QUAKES)
        stream = f"http://{HOST}:{running.server.port}{cluster.target('since=earliest')}"
        await browser.show(origin, stream, "quake,mine", **CREDENTIALS)
        await browser.until("answered", 1)
        seen = await browser.until("mine", 1)
    assert [one[2] for one in seen if one[0] == "quake"] == [text_of(one) for one in QUAKES]
    assert [one[2] for one in seen if one[0] == "mine"] == ["hello"]
    assert [one[2] for one in seen if one[0] == "answered"] == ["200 optional"]  # an exposed header is read
    assert len(stored) == 5


async def test_a_page_of_another_origin_gets_nothing_and_the_edge_opens_nothing(
    browser: Browser, cluster: Cluster
) -> None:
    async with cluster.edge() as running:
        await allow(cluster, running, "https://app.example.com")
        await cluster.publish(running, QUAKES)
        opened = running.services.hub._number
        stream = f"http://{HOST}:{running.server.port}{cluster.target('since=earliest')}"
        await browser.open(stream, "quake,mine", **CREDENTIALS)
        await browser.until("transport", 1)
        await browser.until("unanswered", 1)
        await asyncio.sleep(2)  # a browser that would come back does so within this
        assert {(one[0], one[2]) for one in browser.seen} == {("transport", ""), ("unanswered", "")}
        assert all(one[3] == 2 for one in browser.seen if one[0] == "transport")  # CLOSED
        assert len(browser.seen) == 2
        assert running.services.hub._number == opened
        assert not len(running.services.hub.reactor)
        assert running.services.refusals == {"SSE_FORBIDDEN": 2}
        assert await cluster.put("page", b"1") == len(QUAKES) + 1, "something was stored"
