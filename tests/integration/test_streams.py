"""Open streams seen and handled from any edge: by a tenant's administrator, and renewed by their own readers."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from slipstream.app import Running
from slipstream.auth.revocations import Kind, Revocation
from slipstream.fanout.connection import Ending
from slipstream.tenants.model import Tenant
from tests.authorizer import AuthorizerServer
from tests.integration.answers import problem
from tests.integration.cluster import Cluster
from tests.integration.guarded import bearer, edges, get, minted, opened
from tests.integration.wire import Answer, Stream, call, until
from tests.tokens import JwksServer, ec_key, token

LOOPS = ("uvloop",)


@pytest.fixture
async def pods(cluster: Cluster, keys: JwksServer, tmp_path: Path) -> AsyncIterator[list[Running]]:
    """Three edges that know one another."""
    async with edges(cluster, keys, tmp_path, 3) as running:
        yield running


def admin(cluster: Cluster, **changes: Any) -> str:
    return bearer(minted(cluster, **{"sub": "root", "scope": "admin", **changes}))


async def listed(cluster: Cluster, running: Running, query: str = "") -> dict[str, Any]:
    answer = await get(running, query, admin(cluster), path="/v1/streams")
    assert answer.status == 200, answer
    return dict(answer.json)


async def ended(running: Running, stream: str, *headers: str) -> Answer:
    return await call(running.server.port, f"/v1/streams/{stream}", *headers, method="DELETE")


async def renewed(running: Running, stream: str, *headers: str) -> Answer:
    return await call(running.server.port, f"/v1/streams/{stream}/token", *headers, method="POST")


async def three(cluster: Cluster, pods: Sequence[Running], **claims: Any) -> list[tuple[Stream, dict[str, Any]]]:
    """A stream of ada on each edge."""
    text = minted(cluster, **claims)
    return [await opened(cluster, one, "topic=orders.>", bearer(text)) for one in pods]


async def test_an_administrator_sees_the_streams_of_all_edges(cluster: Cluster, pods: list[Running]) -> None:
    streams = await three(cluster, pods, jti="t-1")
    await opened(cluster, pods[1], "", bearer(minted(cluster, sub="bob")))
    found = await listed(cluster, pods[0])
    assert found["missing"] == []
    assert found["processes"] == sorted(one.services.process for one in pods)
    assert found["total"] == len(found["streams"]) == 4
    shown = {one["id"]: one for one in found["streams"]}
    for (_, ready), pod in zip(streams, pods, strict=True):
        one = shown[ready["stream"]]
        assert one["id"].startswith(f"{pod.services.process}.")
        assert (one["subject"], one["token_id"], one["topics"]) == ("ada", "t-1", ["orders.>"])
        assert one["expires_at"] == ready["expires_at"]
        assert abs(one["opened_at"] - time.time()) < 60
        assert (one["address"], one["state"]) == ("127.0.0.1", "live")
    only = await listed(cluster, pods[2], "subject=bob")
    assert [one["subject"] for one in only["streams"]] == ["bob"]
    cut = await listed(cluster, pods[2], "limit=2")
    assert (len(cut["streams"]), cut["total"]) == (2, 4)


async def test_another_tenants_streams_are_not_there(cluster: Cluster, pods: list[Running]) -> None:
    await cluster.make("neighbour-of-streams")
    await until(lambda: all(one.services.registry.get("neighbour-of-streams") for one in pods), "it is known")
    (_, ready), *_ = await three(cluster, pods)
    theirs = admin(cluster, tenant="neighbour-of-streams")
    answer = await get(pods[1], "", theirs, path="/v1/streams")
    assert (answer.json["streams"], answer.json["total"]) == ([], 0)
    answer = await get(pods[1], "", theirs, path="/v1/usage")
    assert answer.json["streams"]["open"] == 0
    unknown = set()
    for pod in pods:
        for stream in (ready["stream"], f"{pods[0].services.process}.999999", "deadbeef.1", "x", "a.b.c"):
            gone = await ended(pod, stream, theirs)
            problem(gone, 404, "NOT_FOUND")
            unknown.add(gone.json["detail"])
    assert len(unknown) == 1, "whether it is there or another's cannot be told"
    problem(
        await renewed(pods[1], ready["stream"], bearer(minted(cluster, tenant="neighbour-of-streams"))),
        404,
        "NOT_FOUND",
    )
    assert (await listed(cluster, pods[1]))["total"] == 3


async def test_without_the_scope_nothing_is_seen_or_ended(cluster: Cluster, pods: list[Running]) -> None:
    (_, ready), *_ = await three(cluster, pods)
    reader = bearer(minted(cluster))
    for path in ("/v1/streams", "/v1/usage"):
        problem(await get(pods[0], "", reader, path=path), 403, "FORBIDDEN")
        problem(await get(pods[0], "", path=path), 401, "UNAUTHORIZED")
    problem(await ended(pods[0], ready["stream"], reader), 403, "FORBIDDEN")
    problem(await get(pods[0], "limit=0", admin(cluster), path="/v1/streams"), 400, "BAD_REQUEST")


async def test_a_stream_is_ended_from_any_edge(cluster: Cluster, pods: list[Running]) -> None:
    for (stream, ready), other in zip(await three(cluster, pods), pods[1:] + pods[:1], strict=True):
        answer = await ended(other, ready["stream"], admin(cluster))
        assert (answer.status, answer.body) == (204, b"")
        told = json.loads((await stream.one("error")).data)
        assert (told["code"], told["retry"]) == ("SSE_FORBIDDEN", False)
        problem(await ended(other, ready["stream"], admin(cluster)), 404, "NOT_FOUND")
    assert [one.services.hub.reactor.endings[Ending.ADMIN] for one in pods] == [1, 1, 1]


async def test_a_stream_goes_on_by_a_newer_token_given_to_any_edge(cluster: Cluster, pods: list[Running]) -> None:
    now = int(time.time())
    streams = await three(cluster, pods, exp=now + 4)
    later = minted(cluster, exp=now + 3_000)
    for (_, ready), other in zip(streams, pods[1:] + pods[:1], strict=True):
        answer = await renewed(other, ready["stream"], bearer(later))
        assert answer.status == 200, answer
        assert answer.json == {"stream": ready["stream"], "expires_at": now + 3_000}
    await asyncio.sleep(max(0.0, now + 5.5 - time.time()))  # the first token has ended meanwhile
    assert [len(one.services.hub._lifetimes) for one in pods] == [1, 1, 1]
    for number, (stream, _) in enumerate(streams):
        await cluster.put(f"orders.{number}", b"still here")
        assert (await stream.published(number + 1))[-1].data == "still here"


async def test_a_stream_ends_with_its_newest_token(cluster: Cluster, pods: list[Running]) -> None:
    now = int(time.time())
    (stream, ready), *_ = await three(cluster, pods, exp=now + 3_000)
    assert (await renewed(pods[1], ready["stream"], bearer(minted(cluster, exp=now + 2)))).status == 200
    await stream.one("stream.expiring")
    assert json.loads((await stream.one("error")).data)["code"] == "SSE_TOKEN_EXPIRED"
    assert time.time() >= now + 2


@pytest.mark.parametrize(
    "changes",
    [{"sub": "bob"}, {"topics": {"subscribe": ["orders.eu.>"]}}, {"topics": {}}, {"scope": "publish"}],
    ids=["another reader's", "for fewer topics", "for no topic", "for no stream"],
)
async def test_a_token_that_does_not_cover_the_stream_is_refused(
    cluster: Cluster, pods: list[Running], changes: dict[str, Any]
) -> None:
    (_, ready), *_ = await three(cluster, pods)
    for pod in pods[:2]:
        problem(await renewed(pod, ready["stream"], bearer(minted(cluster, **changes))), 403, "FORBIDDEN")
    held = pods[0].services.sessions.get(int(ready["stream"].split(".")[1]))
    assert held is not None
    assert held.token is not None
    assert held.token.expires_at == ready["expires_at"]


async def test_what_was_unmasked_needs_the_scope_again(cluster: Cluster, pods: list[Running]) -> None:
    tenant = await cluster.apply(masking=[{"field": "phone", "method": "phone"}])
    await until(lambda: all(one.services.registry.get(cluster.tenant) == tenant for one in pods), "it is known")
    (_, ready), *_ = await three(cluster, pods, scope="subscribe pii:read")
    problem(await renewed(pods[1], ready["stream"], bearer(minted(cluster))), 403, "FORBIDDEN")
    more = minted(cluster, scope="subscribe pii:read publish")
    assert (await renewed(pods[1], ready["stream"], bearer(more))).status == 200


async def test_a_bad_token_renews_nothing(cluster: Cluster, pods: list[Running]) -> None:
    (_, ready), *_ = await three(cluster, pods)
    for header in (
        bearer(minted(cluster, ec_key())),
        bearer(minted(cluster, exp=int(time.time()) - 5)),
        bearer("x.y.z"),
        f"Cookie: __Host-slipstream={minted(cluster)}",
    ):
        assert (await renewed(pods[1], ready["stream"], header)).status == 401


SAME = "Sec-Fetch-Site: same-origin"
COOKIE = "__Host-slipstream"


async def test_a_browser_comes_back_with_the_newer_token(cluster: Cluster, pods: list[Running]) -> None:
    now = int(time.time())
    old, newer = minted(cluster), minted(cluster, exp=now + 3_000)
    (_, ready), *_ = await three(cluster, pods)

    async def kept(*headers: str, text: str = newer) -> str | None:
        answer = await renewed(pods[1], ready["stream"], bearer(text), *headers)
        assert answer.status == 200, answer
        return answer.headers.get("set-cookie")

    value, *attributes = (await kept(f"Cookie: {COOKIE}={old}", SAME) or "").split("; ")
    assert value == f"{COOKIE}={newer}"
    assert set(attributes) >= {"Path=/", "Secure", "HttpOnly", "SameSite=Strict"}
    (age,) = (int(one.removeprefix("Max-Age=")) for one in attributes if one.startswith("Max-Age="))
    assert 2_900 < age <= 3_000
    ended_before = minted(cluster, exp=now - 60)
    assert (await kept(f"Cookie: {COOKIE}={ended_before}", SAME) or "").startswith(value)
    assert await kept(SAME) is None, "it has none"
    assert await kept(f"Cookie: {COOKIE}={old}") is None, "where it would not count"
    assert await kept(f"Cookie: {COOKIE}=x", SAME) is None, "it is no token"
    another = minted(cluster, sub="bob")
    assert await kept(f"Cookie: {COOKIE}={another}", SAME) is None, "it is another page's"
    refused = await renewed(
        pods[1], f"{pods[0].services.process}.999999", bearer(newer), f"Cookie: {COOKIE}={old}", SAME
    )
    problem(refused, 404, "NOT_FOUND")
    assert "set-cookie" not in refused.headers
    long = minted(cluster, padding="x" * 4_096)
    problem(await renewed(pods[1], ready["stream"], bearer(long), f"Cookie: {COOKIE}={old}", SAME), 400, "BAD_REQUEST")
    assert await kept(text=long) is None


async def test_a_token_that_is_revoked_while_the_authorizer_thinks_renews_nothing(
    cluster: Cluster, pods: list[Running]
) -> None:
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def allow(*_: object) -> bool:
        asked.set()
        await go_on.wait()
        return True

    tenant = await cluster.apply(authorizer={"url": "http://127.0.0.1:9/"})
    await until(lambda: all(one.services.registry.get(cluster.tenant) == tenant for one in pods), "it is known")
    for pod in pods:
        pod.services.authorizers.allow = allow  # type: ignore[assignment, method-assign]
    go_on.set()
    (_, ready), *_ = await three(cluster, pods)
    go_on.clear()
    asked.clear()
    newer = minted(cluster, jti="t-9")
    asking = asyncio.create_task(renewed(pods[0], ready["stream"], bearer(newer)), name="renewal")
    await asyncio.wait_for(asked.wait(), 5)
    revocation = Revocation.of(cluster.tenant, Kind.TOKEN, "t-9", time.time())
    await pods[1].services.ledger.put(revocation)
    known = pods[0].services.revocations
    await until(lambda: known.get(revocation.key) is not None, "it is known")
    go_on.set()
    problem(await asking, 401, "UNAUTHORIZED")
    held = pods[0].services.sessions.get(int(ready["stream"].split(".")[1]))
    assert held is not None
    assert held.token is not None
    assert held.token.id != "t-9"


async def test_usage_is_the_sum_of_all_edges(cluster: Cluster, pods: list[Running]) -> None:
    tenant: Tenant = await cluster.apply(quotas={"connections": 50, "publish_rate": 7})
    await until(lambda: all(one.services.registry.get(cluster.tenant) == tenant for one in pods), "it is known")
    await three(cluster, pods)
    await opened(cluster, pods[0], "", bearer(minted(cluster, sub="bob")))
    await cluster.put("orders.new", b"12345")
    answer = await get(pods[2], "", admin(cluster), path="/v1/usage")
    found = answer.json
    assert found["tenant"] == cluster.tenant
    assert found["streams"] == {
        "open": 4,
        "limit": 50,
        "subjects": 2,
        "per_subject_most": 3,
        "per_subject_limit": None,
    }
    assert found["rates"] == {"connects": None, "publishes": 7}
    assert (found["log"]["events"], found["log"]["last_seq"], found["log"]["replicas"]) == (1, 1, 1)
    assert found["log"]["bytes"] > 5
    assert sorted(found["by_process"].values()) == [1, 1, 2]
    assert found["missing"] == []


async def test_a_process_that_does_not_answer_is_named(cluster: Cluster, pods: list[Running]) -> None:
    await three(cluster, pods)
    dumb = pods[2].services.peers
    dumb._answers.clear()  # type: ignore[attr-defined]  # as one that hangs
    found = await listed(cluster, pods[0])
    assert found["missing"] == [pods[2].services.process]
    assert found["total"] == 2


async def test_a_token_of_no_use_here_names_nobody(cluster: Cluster, pods: list[Running]) -> None:
    text = token(ec_key(), {"tenant": cluster.tenant})
    problem(await get(pods[0], "", bearer(text), path="/v1/streams"), 401, "UNAUTHORIZED")


@pytest.mark.parametrize("number", ["9" * 19, "9" * 20, "9" * 50, "0" * 20 + "1"])
async def test_a_number_that_no_stream_has_is_404_on_any_edge(
    cluster: Cluster, pods: list[Running], number: str
) -> None:
    for holder in pods:
        stream = f"{holder.services.process}.{number}"
        problem(await ended(pods[0], stream, admin(cluster)), 404, "NOT_FOUND")
        problem(await renewed(pods[0], stream, bearer(minted(cluster))), 404, "NOT_FOUND")


async def test_a_stream_that_ends_while_the_authorizer_thinks_is_not_renewed(
    cluster: Cluster, pods: list[Running]
) -> None:
    async with AuthorizerServer.serving() as webhook:
        tenant = await cluster.apply(authorizer={"url": webhook.url, "cache": 0})
        await until(lambda: all(one.services.registry.get(cluster.tenant) == tenant for one in pods), "it is known")
        stream, ready = await opened(cluster, pods[1], "topic=orders.>", bearer(minted(cluster)))
        webhook.asked.clear()
        webhook.gate.clear()
        asking = asyncio.create_task(renewed(pods[0], ready["stream"], bearer(minted(cluster))), name="renewal")
        await until(lambda: bool(webhook.asked), "asked")
        stream.wire.reset()
        await until(lambda: not len(pods[1].services.sessions), "it has ended")
        webhook.gate.set()
        problem(await asking, 404, "NOT_FOUND")
