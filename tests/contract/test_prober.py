"""What a probe concludes on one server: nothing before its first answer, and nothing from what others suffer alone."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from slipstream.jetstream.prober import Prober
from slipstream.jetstream.subjects import PROBE_STREAM
from slipstream.protocol.errors import SlipstreamError
from slipstream.resilience.upstream import ACCUSERS, MISSES
from tests.contract.pod import Pod, ended, flights, following, freeze, until
from tests.servers import NatsServer


@asynccontextmanager
async def probing(pod: Pod) -> AsyncIterator[Prober]:
    prober = Prober(pod.link, pod.feed_link, pod.name)
    task = asyncio.create_task(prober.run(), name="prober")
    try:
        yield prober
    finally:
        await ended(task)


def proven(prober: Prober) -> bool:
    return bool(prober.document()["proven"])


async def test_its_stream_is_made_and_stays_small(pod: Pod) -> None:
    async with probing(pod) as prober:
        await until(lambda: proven(prober), "a probe is answered")
        await until(lambda: not pod.link.client._resp_map, "no request is under way")
        assert await prober._ask(pod.link.client, 1.0) is None
        info = await pod.api.call(f"STREAM.INFO.{PROBE_STREAM}")
    assert (info["config"]["storage"], info["config"]["num_replicas"], info["state"]["messages"]) == ("memory", 1, 1)
    assert prober.document()["state"] == "closed"


async def test_a_stream_that_is_gone_is_made_again(pod: Pod) -> None:
    async with probing(pod) as prober:
        await until(lambda: proven(prober), "a probe is answered")
        await pod.api.call(f"STREAM.DELETE.{PROBE_STREAM}")
        assert await prober._ask(pod.link.client, 3.0) is None
        assert not prober.upstream.open


async def test_a_user_without_the_permission_has_no_breaker(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """After an update of the edges alone nobody must be refused."""
    permissions = f'{{ publish: {{ deny: ["slipstream.probe.*", "$JS.API.STREAM.CREATE.{PROBE_STREAM}"] }} }}'
    users = f'authorization {{ users: [ {{ user: "old", password: "secret", permissions: {permissions} }} ] }}'
    async with (
        NatsServer(tmp_path, config=users) as server,
        Pod(server.url.replace("//", "//old:secret@")) as pod,
        probing(pod) as prober,
    ):
        await until(lambda: "no probe of NATS was answered yet" in caplog.text, "it says so")
        for _ in range(MISSES):
            miss = await prober._ask(pod.link.client, 0.5)
            assert miss is not None
            prober._missed(prober.upstream, miss, time.monotonic())
        assert not prober.upstream.open
    assert caplog.text.count("no probe of NATS was answered yet") == 1, "it repeats itself"


async def test_silent_feeds_and_requests_accuse(nats: NatsServer, pod: Pod, tenant: str) -> None:
    """So that with several of them one missed probe is enough."""
    for name in ("deaf-a", "deaf-b"):
        await pod.ensure(name)
    async with probing(pod) as prober, following(pod, tenant), following(pod, "deaf-a"), following(pod, "deaf-b"):
        await until(lambda: proven(prober), "a probe is answered")
        await freeze(nats)
        with pytest.raises(SlipstreamError):
            await pod.source(tenant).state()
        await until(lambda: prober.upstream.open, "the breaker opens")
        accusers = prober.upstream._accusers
        assert len(accusers) == ACCUSERS
        assert any(one.startswith("the feed of ") for one in accusers), accusers
        nats.resume()
        await until(lambda: not prober.upstream.open, "the breaker closes")
        assert not prober.upstream.accused


async def test_one_tenant_without_its_stream_opens_nothing(pod: Pod, tenant: str) -> None:
    async with probing(pod) as prober:
        await until(lambda: proven(prober), "a probe is answered")
        for _ in range(20):
            with pytest.raises(SlipstreamError):
                await pod.publisher.publish("nobody", "orders", b"1")
        await pod.publish(tenant, flights(1))
        assert not prober.upstream.accused
        assert not prober.upstream.open
