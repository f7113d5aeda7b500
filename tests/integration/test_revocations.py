"""Tokens that are revoked, on three real edges: who is sent away, who stays, who gets in no more, and how soon."""

import asyncio
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from slipstream.app import Running
from slipstream.auth.revocations import hash_of
from slipstream.edge import revocations as handlers
from slipstream.fanout.connection import Ending
from tests.faults.proxy import Proxy, Weather
from tests.integration.answers import JSON, problem
from tests.integration.cluster import Cluster
from tests.integration.guarded import bearer, edges, get, guarded, minted, opened, post
from tests.integration.wire import Answer, Stream, call, until
from tests.servers import HOST
from tests.tokens import JwksServer

LOOPS = ("uvloop",)

PATH = "/v1/revocations"
BOUND = 5.0
"""Seconds; the promise is one, and a busy machine is slow."""

AGO: dict[str, Any] = {"iat": int(time.time()) - 100, "exp": int(time.time()) + 3_000}


def later() -> dict[str, Any]:
    """Issued after whatever was revoked, by a clock that is a little ahead."""
    return {"iat": int(time.time()) + 20}


def admin(cluster: Cluster, **changes: Any) -> str:
    """May revoke, and is not concerned by it itself."""
    return minted(cluster, **{"scope": "admin", "sub": "root", **changes})


async def send(running: Running, token: str, body: Any) -> Answer:
    return await call(running.server.port, PATH, bearer(token), JSON, method="POST", body=json.dumps(body).encode())


async def take_back(running: Running, token: str, kind: str, name: str) -> Answer:
    path = f"{PATH}/{kind}/{quote(name, safe='')}"
    return await call(running.server.port, path, bearer(token), method="DELETE")


async def readers(cluster: Cluster, running: Sequence[Running], token: str, each: int = 1) -> list[Stream]:
    made = (opened(cluster, one, "", bearer(token)) for one in running for _ in range(each))
    return [stream for stream, _ in await asyncio.gather(*made)]


async def ended(streams: Sequence[Stream]) -> float:
    """Seconds until all have had their last frame, and it was the right one."""
    since = time.monotonic()
    for told in await asyncio.gather(*(stream.end() for stream in streams)):
        assert told[-1].event == "error"
        document = json.loads(told[-1].data)
        assert (document["code"], document["retry"]) == ("SSE_UNAUTHORIZED", False)
        assert "revoked" in document["message"]
    assert all(stream.ended for stream in streams)
    return time.monotonic() - since


async def refused(cluster: Cluster, running: Running, token: str) -> None:
    """Nothing is to be had by this token any more."""
    answers = [
        await get(running, "", bearer(token)),
        await get(running, "", bearer(token), path="/v1/poll"),
        await post(running, token, {"topic": "a", "data": 1}),
    ]
    for answer in answers:
        problem(answer, 401, "UNAUTHORIZED")
        assert 'error="invalid_token"' in answer.headers["www-authenticate"]


async def goes_on(cluster: Cluster, streams: Sequence[Stream], topic: str = "still.here") -> None:
    await cluster.put(topic, b"1")
    for stream in streams:
        assert (await stream.published(1))[0].data == "1"


async def knows(cluster: Cluster, running: Sequence[Running], count: int) -> None:
    await until(lambda: all(one.services.revocations.count(cluster.tenant) == count for one in running), "all know")


async def test_a_subject_is_sent_away_from_three_edges_within_a_second_and_nobody_else(
    cluster: Cluster, keys: JwksServer, tmp_path: Path
) -> None:
    await cluster.make("neighbour")
    async with edges(cluster, keys, tmp_path, 3) as running:
        for one in running:
            await until(lambda one=one: one.services.registry.get("neighbour") is not None, "it is known")  # type: ignore[misc]
        ada, grace = minted(cluster, **AGO), minted(cluster, sub="grace", **AGO)
        theirs = await readers(cluster, running, ada, 20)
        others = await readers(cluster, running, grace)
        elsewhere = await readers(cluster, running, minted(cluster, tenant="neighbour", **AGO))
        watching = asyncio.create_task(ended(theirs))
        answer = await send(running[0], admin(cluster), {"subject": "ada", "reason": "laptop lost"})
        answered_at = time.monotonic()
        assert answer.status == 200
        entry = answer.json
        assert (entry["kind"], entry["name"], entry["tenant"]) == ("subject", "ada", cluster.tenant)
        assert (entry["reason"], entry["hash"]) == ("laptop lost", hash_of("ada"))
        assert abs(entry["at"] - time.time()) < 5
        await watching
        took = time.monotonic() - answered_at
        print(f"60 streams on three edges ended {took * 1000:.1f} ms after the answer")  # noqa: T201 - what to promise
        assert took < BOUND
        assert [one.services.hub.reactor.endings[Ending.REVOKED] for one in running] == [20, 20, 20]
        for one in running:
            await refused(cluster, one, ada)
        await goes_on(cluster, others)
        await cluster.api.request("sse.neighbour.a", b"1")
        for stream in elsewhere:
            assert (await stream.published(1))[0].data == "1"
        newer = await readers(cluster, running, minted(cluster, **later()))
        await goes_on(cluster, newer, "newer")
        assert (await call(running[1].server.port, PATH, bearer(admin(cluster)))).json == {
            "revocations": [entry],
            "total": 1,
        }
        other = admin(cluster, tenant="neighbour")
        assert (await call(running[1].server.port, PATH, bearer(other))).json["revocations"] == []


async def test_a_token_alone_and_then_taken_back(cluster: Cluster, keys: JwksServer, tmp_path: Path) -> None:
    async with edges(cluster, keys, tmp_path, 3) as running:
        one, two = (minted(cluster, jti=name) for name in ("t/1", "t/2"))
        theirs, others = await readers(cluster, running, one), await readers(cluster, running, two)
        root = admin(cluster)
        assert (await send(running[2], root, {"token_id": "t/1"})).json["kind"] == "token"
        assert await ended(theirs) < BOUND
        for edge in running:
            await refused(cluster, edge, one)
        await goes_on(cluster, others)
        problem(await take_back(running[0], root, "token", "t/2"), 404, "NOT_FOUND")
        problem(await take_back(running[0], root, "pod", "t/1"), 400, "BAD_REQUEST")
        problem(await take_back(running[0], admin(cluster, scope="subscribe"), "token", "t/1"), 403, "FORBIDDEN")
        assert (await take_back(running[0], root, "token", "t/1")).status == 204
        await knows(cluster, running, 0)
        await goes_on(cluster, await readers(cluster, running, one), "back")
        assert (await send(running[0], root, {"subject": "ada"})).status == 200
        await knows(cluster, running, 1)
        assert (await take_back(running[1], root, "subject", hash_of("ada"))).status == 204
        await knows(cluster, running, 0)


async def test_a_whole_tenant_with_the_token_that_said_so(cluster: Cluster, keys: JwksServer, tmp_path: Path) -> None:
    async with edges(cluster, keys, tmp_path, 3) as running:
        root = admin(cluster, **AGO)
        streams = await readers(cluster, running, minted(cluster, **AGO), 2)
        streams += await readers(cluster, running, minted(cluster, sub="grace", **AGO), 2)
        assert (await send(running[1], root, {"tenant": True})).json["name"] == cluster.tenant
        assert await ended(streams) < BOUND
        for edge in running:
            await refused(cluster, edge, minted(cluster, **AGO))
            problem(await call(edge.server.port, PATH, bearer(root)), 401, "UNAUTHORIZED")
        await goes_on(cluster, await readers(cluster, running, minted(cluster, **later())))
        assert (await take_back(running[0], admin(cluster, **later()), "tenant", cluster.tenant)).status == 204
        await knows(cluster, running, 0)
        assert (await call(running[2].server.port, PATH, bearer(root))).status == 200


async def test_an_edge_that_begins_later_knows(cluster: Cluster, keys: JwksServer, tmp_path: Path) -> None:
    ada = minted(cluster, **AGO)
    async with guarded(cluster, keys, tmp_path) as one:
        assert (await send(one, admin(cluster), {"subject": "ada"})).status == 200
    async with guarded(cluster, keys, tmp_path) as later:
        await refused(cluster, later, ada)
        assert (await take_back(later, admin(cluster), "subject", "ada")).status == 204


async def test_an_edge_that_was_cut_off_catches_up(cluster: Cluster, keys: JwksServer, tmp_path: Path) -> None:
    proxy = Proxy("nats", cluster.nats.port)
    ada = minted(cluster, **AGO)
    async with (
        proxy.serving(),
        guarded(cluster, keys, tmp_path) as near,
        guarded(cluster, keys, tmp_path, nats_url=f"nats://{HOST}:{proxy.port}") as far,
    ):
        streams = await readers(cluster, [near, far], ada)
        proxy.become(Weather(refused=True))
        proxy.reset()
        await until(lambda: not proxy.open, "it is cut off")
        assert (await send(near, admin(cluster), {"subject": "ada"})).status == 200
        assert await ended(streams[:1]) < BOUND
        assert streams[1].ended is None, "it has not heard of it"
        assert far.services.ready, "an ingress must not send everybody away"
        answer = await send(far, admin(cluster), {"subject": "grace"})
        problem(answer, 503, "UPSTREAM_UNAVAILABLE")
        proxy.clear()
        took = await ended(streams[1:])
        assert took < 15
        await refused(cluster, far, ada)
        assert (await take_back(near, admin(cluster), "subject", "ada")).status == 204


async def test_before_the_revocations_are_loaded_nobody_gets_in(
    cluster: Cluster, keys: JwksServer, tmp_path: Path
) -> None:
    async with guarded(cluster, keys, tmp_path) as running:
        table = running.services.revocations
        assert table.loaded
        table.loaded = False
        assert not running.services.ready
        answer = await get(running, "", bearer(minted(cluster)), path="/v1/poll")
        problem(answer, 503, "UPSTREAM_UNAVAILABLE")
        table.loaded = True


async def test_a_poll_that_waits_gets_nothing_once_its_token_is_revoked(
    cluster: Cluster, keys: JwksServer, tmp_path: Path
) -> None:
    async with guarded(cluster, keys, tmp_path) as running:
        ada = minted(cluster, **AGO)
        head = running.services.hub
        waiting = asyncio.create_task(get(running, "wait=20", bearer(ada), path="/v1/poll"))
        await until(lambda: any(tail.attached.is_set() for tail in head.tails), "it waits")
        assert (await send(running, admin(cluster), {"subject": "ada"})).status == 200
        await knows(cluster, [running], 1)
        await cluster.put("a", b"secret")
        answer = await waiting
        problem(answer, 401, "UNAUTHORIZED")
        assert b"secret" not in answer.body
        assert (await take_back(running, admin(cluster), "subject", "ada")).status == 204


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"[]", 400),
        (b"{}", 400),
        (b'{"subject":"ada","token_id":"t"}', 400),
        (b'{"subject":""}', 400),
        (b'{"subject":7}', 400),
        (b'{"subject":"' + b"x" * 257 + b'"}', 400),
        (b'{"tenant":"other"}', 400),
        (b'{"tenant":false}', 400),
        (b'{"subject":"ada","reason":7}', 400),
        (b'{"subject":"ada","reason":"a\\nb"}', 400),
        (b'{"subject":"ada","reason":"' + b"x" * 257 + b'"}', 400),
        (b'{"subject":"ada","until":1}', 400),
        (b" " * 20_000, 413),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_what_cannot_be_understood_revokes_nothing(
    cluster: Cluster, keys: JwksServer, tmp_path: Path, body: bytes, status: int
) -> None:
    async with guarded(cluster, keys, tmp_path) as running:
        port, root = running.server.port, admin(cluster)
        answer = await call(port, PATH, bearer(root), JSON, method="POST", body=body)
        problem(answer, status, "BAD_REQUEST")
        if status == 400 and body == b"{}":
            plain = await call(port, PATH, bearer(root), "Content-Type: text/plain", method="POST", body=b"{}")
            problem(plain, 415, "BAD_REQUEST")
            for scope in ("subscribe publish", "", "Admin"):
                problem(await send(running, minted(cluster, scope=scope), {"subject": "ada"}), 403, "FORBIDDEN")
            elsewhere = await call(
                port, f"{PATH}?tenant=other", bearer(root), JSON, method="POST", body=b'{"subject":"a"}'
            )
            problem(elsewhere, 403, "FORBIDDEN")
        assert running.services.revocations.count(cluster.tenant) == 0


async def test_a_tenant_cannot_fill_the_memory_of_all(
    cluster: Cluster, keys: JwksServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handlers, "MOST", 2)
    async with guarded(cluster, keys, tmp_path) as running:
        root = admin(cluster, **later())
        for number in range(2):
            assert (await send(running, root, {"subject": f"s{number}"})).status == 200
        await knows(cluster, [running], 2)
        problem(await send(running, root, {"subject": "s2"}), 429, "QUOTA_EXCEEDED")
        assert (await send(running, root, {"subject": "s1"})).status == 200, "it has its place already"
        assert (await send(running, root, {"tenant": True})).status == 200, "the way out"
        for kind, name in (("subject", "s0"), ("subject", "s1"), ("tenant", cluster.tenant)):
            assert (await take_back(running, root, kind, name)).status == 204
