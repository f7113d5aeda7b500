"""Limits that hold over three edges, for whoever comes at once, and through the death of one."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from http import HTTPStatus
from pathlib import Path

import pytest

from slipstream.app import Running
from slipstream.protocol.errors import Code, SlipstreamError
from tests.integration.cluster import Cluster
from tests.integration.wire import Wire, call, request, until
from tests.servers import Edge, wait_until

LIMIT = 300
LEASE = 15.0
"""The default. A process that starves for a whole lease has lost its share to the others, and the limit is exceeded by
those whom it still has: right, and no matter here."""

Answer = tuple[Wire, int, dict[str, str]]


@asynccontextmanager
async def edges(cluster: Cluster, count: int, lease: float = LEASE) -> AsyncIterator[list[Running]]:
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(cluster.edge(lease=lease)) for _ in range(count)]


def shares(running: Running, cluster: Cluster) -> dict[str, int]:
    document = running.services.admission.document()["shares"]
    assert isinstance(document, dict)
    return dict(document[f"quota.{cluster.tenant}"])


def held(running: Sequence[Running]) -> int:
    return sum(len(one.services.hub.reactor) for one in running)


async def knock(cluster: Cluster, port: int, *headers: str) -> Answer:
    wire = await cluster.wire(port)
    await wire.send(request(cluster.target(), *headers))
    head = await wire.head()
    return wire, head.status, head.headers


async def crowd(cluster: Cluster, ports: Sequence[int], count: int) -> list[Answer]:
    return await asyncio.gather(*(knock(cluster, ports[number % len(ports)]) for number in range(count)))


def counted(answers: Sequence[Answer]) -> dict[int, int]:
    statuses = [status for _, status, _ in answers]
    return {status: statuses.count(status) for status in set(statuses)}


async def refilled(cluster: Cluster, running: Sequence[Running], asked: Sequence[Running]) -> bool:
    """Ask some of the edges for more; whether all places are taken. More than all is a fault.

    Who was refused a moment ago is refused for a second without asking: come back, as clients do.
    """
    await crowd(cluster, [one.server.port for one in asked], 40)
    assert held(running) <= LIMIT
    return held(running) == LIMIT


async def test_of_600_at_once_over_three_edges_300_come_in_and_never_more(cluster: Cluster) -> None:
    await cluster.apply(quotas={"connections": LIMIT})
    async with edges(cluster, 3) as running:
        most = 0

        async def watch() -> None:
            nonlocal most
            while True:
                most = max(most, held(running))
                await asyncio.sleep(0)

        watching = asyncio.create_task(watch())
        answers = await crowd(cluster, [one.server.port for one in running], 2 * LIMIT)
        watching.cancel()
        assert counted(answers) == {200: LIMIT, 429: LIMIT}
        assert most == held(running) == LIMIT
        assert all(int(headers["retry-after"]) >= 1 for _, status, headers in answers if status == 429)
        for wire in [wire for wire, status, _ in answers if status == 200][:50]:
            wire.close()
        await until(lambda: held(running) == LIMIT - 50, "fifty are gone")
        # Who comes to an edge that has none of the places gets those that lie idle at the others.
        before = len(running[2].services.hub.reactor)
        await wait_until(lambda: refilled(cluster, running, running[2:]), seconds=5, what="the fifty places are taken")
        assert len(running[2].services.hub.reactor) == before + 50


async def test_the_share_of_an_edge_that_was_killed_comes_back_after_its_lease(
    cluster: Cluster, tmp_path: Path
) -> None:
    await cluster.apply(quotas={"connections": LIMIT})
    # Short, for it is waited for; a process that starves renews late: a third of it is left in any case.
    lease = 5.0
    environment = {"SLIPSTREAM_LEASE": str(lease)}
    async with Edge(cluster.nats.url, tmp_path, env=environment) as process, edges(cluster, 2, lease) as running:
        ports = [one.server.port for one in running]
        assert counted(await crowd(cluster, [process.port], 100)) == {200: 100}
        assert counted(await crowd(cluster, ports, 300)) == {200: 200, 429: 100}
        killed_at = asyncio.get_running_loop().time()
        await process.kill()
        assert counted(await crowd(cluster, ports, 10)) == {429: 10}, "its lease is not over"
        await until(lambda: all(one.services.admission.document()["processes"] == 2 for one in running), "it is gone")
        assert asyncio.get_running_loop().time() - killed_at >= lease / 3
        await wait_until(lambda: refilled(cluster, running, running), seconds=5, what="its places are given to others")
        assert counted(await crowd(cluster, ports, 10)) == {429: 10}
        assert held(running) == LIMIT


async def test_a_limit_that_comes_later_counts_who_is_in_and_sends_nobody_away(cluster: Cluster) -> None:
    async with edges(cluster, 2) as running:
        ports = [one.server.port for one in running]
        assert counted(await crowd(cluster, ports, 10)) == {200: 10}
        await cluster.apply(quotas={"connections": 7})
        await until(lambda: all(shares(one, cluster)["overshoot"] < 5 for one in running), "it is known")
        await until(lambda: sum(shares(one, cluster)["granted"] for one in running) == 7, "all is granted")
        assert counted(await crowd(cluster, ports, 2)) == {429: 2}
        assert held(running) == 10
        await cluster.apply()
        await until(lambda: all(one.services.registry.get(cluster.tenant) for one in running), "it is there")
        await until(lambda: not any(shares(one, cluster)["overshoot"] for one in running), "no limit, nothing over")
        assert counted(await crowd(cluster, ports, 2)) == {200: 2}


async def test_an_event_source_is_told_in_a_form_that_it_survives(cluster: Cluster) -> None:
    await cluster.apply(quotas={"connections": 0})
    async with cluster.edge(lease=LEASE) as running:
        answer = await call(running.server.port, cluster.target(), "Accept: text/event-stream")
        assert answer.status == HTTPStatus.OK
        (event,) = answer.events
        assert event.event == "error"
        assert json.loads(event.data)["code"] == Code.QUOTA_EXCEEDED.value


async def test_rates_are_told_with_the_time_to_wait(cluster: Cluster) -> None:
    await cluster.apply(quotas={"connect_rate": 1, "publish_rate": 1})
    async with cluster.edge(lease=LEASE) as running:
        port = running.server.port
        assert set(counted(await crowd(cluster, [port], 10))) == {200, 429}
        events = b'[{"topic":"a","data":"x"},{"topic":"a","data":"y"}]'
        kind = "Content-Type: application/json"
        posts = (call(port, cluster.target(), kind, method="POST", body=events) for _ in range(10))
        answers = await asyncio.gather(*posts)
        assert {answer.status for answer in answers} == {200, 429}
        for refused in answers:
            if refused.status == HTTPStatus.TOO_MANY_REQUESTS:
                assert refused.json["code"] == Code.QUOTA_EXCEEDED.value
                assert int(refused.headers["retry-after"]) >= 1


async def test_a_request_that_fails_after_it_was_let_in_gives_its_place_back(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    await cluster.apply(quotas={"connections": 1})
    async with cluster.edge(lease=LEASE) as running:
        hub = running.services.hub

        def broken(tenant: str) -> object:
            raise SlipstreamError(Code.TIMEOUT, tenant)

        with monkeypatch.context() as patch:
            patch.setattr(hub, "hold", broken)
            assert (await knock(cluster, running.server.port))[1] == HTTPStatus.SERVICE_UNAVAILABLE
        await cluster.opened(running.server.port)
