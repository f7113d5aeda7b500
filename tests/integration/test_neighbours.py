"""Two tenants on one edge: what one does to itself must not be felt by the other."""

import asyncio
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from slipstream.app import Running
from slipstream.jetstream.subjects import TICKETS_BUCKET
from tests.authorizer import AuthorizerServer
from tests.integration.answers import plain_status, problem
from tests.integration.cluster import Cluster
from tests.integration.guarded import KEY, applied, bearer, edges, get, guarded, minted, opened
from tests.integration.wire import Answer, call, until
from tests.tokens import ISSUER, JwksServer, jwk

LOOPS = ("uvloop",)

POLL = "/v1/poll"
INLINE = {"issuer": ISSUER, "keys": [jwk(KEY)]}


@pytest.fixture
async def webhook() -> AsyncIterator[AuthorizerServer]:
    async with AuthorizerServer.serving() as server:
        yield server


@asynccontextmanager
async def under_way(*work: Coroutine[Any, Any, Answer]) -> AsyncIterator[list[asyncio.Task[Answer]]]:
    """Requests that wait for as long as the block takes."""
    tasks = [asyncio.create_task(one, name="waits") for one in work]
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def neighbour(cluster: Cluster, *edges: Running, called: str = "neighbour", **spec: Any) -> str:
    """Another tenant that all edges know; a token of it."""
    name = f"{cluster.tenant}-{called}"
    await cluster.make(name, **spec)
    await until(lambda: all(one.services.registry.get(name) is not None for one in edges), "the neighbour is known")
    return bearer(minted(cluster, tenant=name))


async def test_a_slow_webhook_does_not_shut_out_another_tenants_on_the_same_host(
    cluster: Cluster, keys: JwksServer, webhook: AuthorizerServer, tmp_path: Path
) -> None:
    async with guarded(cluster, keys, tmp_path) as running:
        fast = await neighbour(cluster, running, authorizer={"url": webhook.url, "timeout": "5s", "cache": 0})
        assert (await get(running, "", fast, path=POLL)).status == 200
        await applied(cluster, running, authorizer={"url": f"{webhook.url}/slow", "timeout": "10s", "cache": 0})
        webhook.slow, slow = "/allow/slow", bearer(minted(cluster))
        # Each topic is a question of its own.
        async with under_way(*(get(running, f"topic=t{number}", slow, path=POLL) for number in range(40))):
            await until(lambda: webhook.paths.count("/allow/slow") == 32, "as many as one tenant may ask")
            assert (await get(running, "", fast, path=POLL)).status == 200
            assert webhook.paths.count("/allow/slow") == 32, "and no more"


async def quick_and_slow(
    cluster: Cluster, running: Running, webhook: AuthorizerServer, count: int
) -> tuple[str, list[str]]:
    """The credentials of a tenant whose webhook answers, and of so many whose webhooks hang."""
    spec = {"timeout": "10s", "cache": 0}
    quick = await neighbour(cluster, running, authorizer={"url": webhook.url, **spec})
    webhook.slow, hang = "/allow/slow", {"url": f"{webhook.url}/slow", **spec}
    return quick, [await neighbour(cluster, running, called=f"slow-{one}", authorizer=hang) for one in range(count)]


async def test_a_tenant_is_answered_while_the_webhooks_of_sixteen_others_hang(
    cluster: Cluster, keys: JwksServer, webhook: AuthorizerServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Fewer than there are, as so many requests would take a busy machine longer than a webhook may.
    monkeypatch.setattr("slipstream.edge.outbound._CONNECTIONS", 68)
    async with guarded(cluster, keys, tmp_path) as running:
        quick, slow = await quick_and_slow(cluster, running, webhook, 16)
        first = [get(running, "topic=first", text, path=POLL) for text in slow]
        rest = [get(running, f"topic=t{number}", text, path=POLL) for number in range(5) for text in slow]
        async with under_way(*first) as waiting:
            await until(lambda: webhook.paths.count("/allow/slow") == 16, "each has asked")
            async with under_way(*rest) as more:
                await until(lambda: webhook.paths.count("/allow/slow") == 64, "each has its part, of 17")
                answers = [await get(running, f"topic=t{number}", quick, path=POLL) for number in range(8)]
                # At once as many as are its part of 18, by a new connection each.
                many = [get(running, f"topic=t{number}", quick, path=POLL) for number in range(3)]
                answers += await asyncio.gather(*many)
                assert [answer.status for answer in answers] == [200] * 11
                assert not any(one.done() for one in waiting + more), "nobody waited for them, and they lost nothing"


async def test_of_more_slow_tenants_than_there_are_connections_the_one_that_waited_longest_makes_room(
    cluster: Cluster, keys: JwksServer, webhook: AuthorizerServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("slipstream.edge.outbound._CONNECTIONS", 2)
    async with guarded(cluster, keys, tmp_path) as running:
        quick, slow = await quick_and_slow(cluster, running, webhook, 2)
        first, second = (get(running, "", text, path=POLL) for text in slow)
        async with under_way(first) as longest:
            await until(lambda: webhook.paths.count("/allow/slow") == 1, "asked")
            async with under_way(second) as waiting:
                await until(lambda: webhook.paths.count("/allow/slow") == 2, "all connections are taken")
                assert (await get(running, "", quick, path=POLL)).status == 200
                problem(await longest[0], 503, "UPSTREAM_UNAVAILABLE")
                assert not waiting[0].done()
                status = running.services.authorizers.document()
                assert (status["gave_way"], status["failing"]) == (1, {})


async def test_keys_that_are_slow_to_come_keep_nobody_from_those_of_another_issuer(
    cluster: Cluster, keys: JwksServer, webhook: AuthorizerServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("slipstream.edge.outbound._CONNECTIONS", 4)
    async with guarded(cluster, keys, tmp_path) as running:
        other = await neighbour(cluster, running)
        webhook.slow = "/allow/slow"
        issuers = [
            {"issuer": f"https://slow-{one}.example", "jwks_url": f"{webhook.url}/slow?{one}"} for one in range(4)
        ]
        await applied(cluster, running, issuers=issuers)
        forged = [bearer(minted(cluster, iss=one["issuer"])) for one in issuers]
        async with under_way(*(get(running, "", text, path=POLL) for text in forged)) as waiting:
            await until(lambda: webhook.paths.count("/allow/slow") == 4, "all connections are taken")
            assert (await get(running, "", other, path=POLL)).status == 200
            assert sum(one.done() for one in waiting) <= 1, "one has made room, the others are still asked"


async def test_webhooks_that_take_all_connections_keep_nobody_from_the_keys_of_an_issuer(
    cluster: Cluster, keys: JwksServer, webhook: AuthorizerServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("slipstream.edge.outbound._CONNECTIONS", 1)
    async with guarded(cluster, keys, tmp_path) as running:
        other = await neighbour(cluster, running)
        await applied(cluster, running, issuers=[INLINE], authorizer={"url": webhook.url, "timeout": "10s"})
        webhook.gate.clear()
        async with under_way(get(running, "", bearer(minted(cluster)), path=POLL)):
            await until(lambda: bool(webhook.asked), "the one connection is taken")
            assert not keys.asked
            assert (await get(running, "", other, path=POLL)).status == 200
            assert keys.asked


async def test_a_tenant_over_its_own_quota_takes_nothing_of_what_the_process_lets_in(
    cluster: Cluster, keys: JwksServer, tmp_path: Path
) -> None:
    async with guarded(cluster, keys, tmp_path, connect_rate=1) as running:
        other = await neighbour(cluster, running)
        await applied(cluster, running, quotas={"connections": 0})
        own = bearer(minted(cluster))
        for _ in range(20):
            problem(await get(running, "", own, path=POLL), 429, "QUOTA_EXCEEDED")
        assert (await get(running, "", other, path=POLL)).status == 200


async def stored(cluster: Cluster) -> int:
    """How many entries the bucket of tickets was ever given."""
    return int((await cluster.api.call(f"STREAM.INFO.KV_{TICKETS_BUCKET}"))["state"]["last_seq"])


async def test_tickets_of_a_tenant_over_its_rate_are_not_written_and_stay_good(
    cluster: Cluster, keys: JwksServer, tmp_path: Path
) -> None:
    async with guarded(cluster, keys, tmp_path) as running:
        await applied(cluster, running, quotas={"connections": 0, "connect_rate": 1})
        text = bearer(minted(cluster))
        made = [await call(running.server.port, "/v1/tickets", text, method="POST") for _ in range(30)]
        before, began = await stored(cluster), time.monotonic()
        for answer in made:
            refused = await get(running, f"ticket={answer.json['ticket']}", path=POLL)
            problem(refused, 429, "QUOTA_EXCEEDED")
        assert await stored(cluster) - before <= 1 + time.monotonic() - began
        await applied(cluster, running)
        last = f"ticket={made[-1].json['ticket']}"
        assert (await get(running, last, path=POLL)).status == 200, "the one that came too early was not spent"
        problem(await get(running, last, path=POLL), 401, "UNAUTHORIZED")


@pytest.fixture
async def pods(cluster: Cluster, keys: JwksServer, tmp_path: Path) -> AsyncIterator[list[Running]]:
    """Two edges that know one another."""
    async with edges(cluster, keys, tmp_path, 2) as running:
        yield running


async def renewed(running: Running, stream: str, text: str) -> Answer:
    return await call(running.server.port, f"/v1/streams/{stream}/token", text, method="POST")


def suspicions(running: Running) -> list[str]:
    """What this edge takes NATS to have left unanswered, from now on."""
    told: list[str] = []
    peers: Any = running.services.peers
    peers._api.link.on_suspicion = told.append
    return told


async def test_renewals_that_wait_for_a_webhook_keep_no_other_tenants_from_an_edge(
    cluster: Cluster, pods: list[Running], webhook: AuthorizerServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("slipstream.jetstream.peers._UNDER_WAY", 8)
    one, holder = pods
    other = await neighbour(cluster, *pods)
    _, ready = await opened(cluster, holder, "topic=a", bearer(minted(cluster)))
    _, theirs = await opened(cluster, holder, "topic=a", other)
    await applied(cluster, holder, authorizer={"url": webhook.url, "timeout": "10s", "cache": 0})
    await until(lambda: one.services.registry.get(cluster.tenant) == holder.services.registry.get(cluster.tenant), "it")
    webhook.gate.clear()
    told = suspicions(one)
    waiting = [renewed(one, ready["stream"], bearer(minted(cluster))) for _ in range(4)]
    async with under_way(*waiting):
        peers: Any = holder.services.peers
        await until(lambda: peers._asked_for[cluster.tenant] == 4, "half of the places are taken")
        plain_status(await renewed(one, ready["stream"], bearer(minted(cluster))), "OVERLOADED")
        answer = await renewed(one, theirs["stream"], other)
        assert answer.status == 200, answer
        assert not told, "a busy edge is no NATS that does not answer"


@pytest.mark.parametrize("slow", [True, False], ids=["slow", "silent"])
async def test_a_renewal_over_another_edge_waits_for_the_webhook_and_does_not_suspect_nats(
    cluster: Cluster,
    pods: list[Running],
    webhook: AuthorizerServer,
    slow: bool,  # noqa: FBT001 - a parameter
) -> None:
    one, holder = pods
    _, ready = await opened(cluster, holder, "topic=a", bearer(minted(cluster)))
    timeout = "9s" if slow else "2s"
    await applied(cluster, one, authorizer={"url": webhook.url, "timeout": timeout, "cache": 0})
    await until(lambda: one.services.registry.get(cluster.tenant) == holder.services.registry.get(cluster.tenant), "it")
    told = suspicions(one)
    peers: Any = one.services.peers
    peers._api.timeout = 1.0
    webhook.gate.clear()
    newer = minted(cluster, exp=ready["expires_at"] + 60)
    asking = asyncio.create_task(renewed(one, ready["stream"], bearer(newer)), name="renewal")
    await until(lambda: bool(webhook.asked), "asked")
    if slow:
        await asyncio.sleep(1.2)  # longer than NATS itself may take
        webhook.gate.set()
        answer = await asking
        assert answer.status == 200, answer
        assert answer.json["expires_at"] == ready["expires_at"] + 60
    else:
        problem(await asking, 503, "UPSTREAM_UNAVAILABLE")
    assert not [what for what in told if what.startswith("slipstream.edge")]


async def test_a_tenant_that_comes_with_a_crowd_keeps_no_other_from_coming_in(
    cluster: Cluster, keys: JwksServer, tmp_path: Path
) -> None:
    async with guarded(cluster, keys, tmp_path, connect_rate=8) as running:
        other = await neighbour(cluster, running)
        own = bearer(minted(cluster))
        crowd = [await get(running, "", own, path=POLL) for _ in range(40)]
        assert {answer.status for answer in crowd} == {200, 503}
        assert crowd[-1].status == 503
        assert (await get(running, "", other, path=POLL)).status == 200
