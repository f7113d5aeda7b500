"""Issuers on real edges: keys that change, servers that fail, tenants that trust others than their neighbours do."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from slipstream.app import Running
from tests.integration.answers import problem
from tests.integration.cluster import Cluster
from tests.integration.guarded import KEY, OTHER, applied, bearer, get, guarded, minted
from tests.integration.wire import until
from tests.servers import Edge
from tests.tokens import ISSUER, JwksServer, jwk, rsa_key

LOOPS = ("uvloop",)


@pytest.fixture
async def running(cluster: Cluster, keys: JwksServer, tmp_path: Path) -> AsyncIterator[Running]:
    async with guarded(cluster, keys, tmp_path) as one:
        yield one


async def test_a_new_key_works_at_once_and_the_old_one_no_longer(
    cluster: Cluster, running: Running, keys: JwksServer
) -> None:
    assert (await get(running, "", bearer(minted(cluster)), path="/v1/poll")).status == 200
    keys.keys = [OTHER]
    assert (await get(running, "", bearer(minted(cluster, OTHER)), path="/v1/poll")).status == 200
    answer = await get(running, "", bearer(minted(cluster, jti="new")), path="/v1/poll")
    problem(answer, 401, "UNAUTHORIZED")
    assert keys.asked.count("/jwks.json") == 2
    for _ in range(5):
        problem(await get(running, "", bearer(minted(cluster, rsa_key(8)))), 401, "UNAUTHORIZED")
    assert keys.asked.count("/jwks.json") == 2, "made-up keys do not flood the issuer"


async def test_an_issuer_that_goes_away_stops_nobody_whose_key_is_known(
    cluster: Cluster, running: Running, keys: JwksServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("slipstream.auth.jwks.FRESH", 0.0)
    assert (await get(running, "", bearer(minted(cluster)), path="/v1/poll")).status == 200
    keys.status = 500
    for number in range(4):
        assert (await get(running, "", bearer(minted(cluster, jti=str(number))), path="/v1/poll")).status == 200
    await until(lambda: len(keys.asked) == 2, "asked once more, behind the scenes")
    # A key that nobody has seen may be a new one: nobody can say now.
    answer = await get(running, "", bearer(minted(cluster, OTHER)), "Accept: text/event-stream")
    assert answer.status == 200
    assert json.loads(answer.events[0].data)["code"] == "SSE_UPSTREAM_UNAVAILABLE"


@pytest.mark.parametrize("trouble", ["status", "body", "large", "redirect", "empty", "silent"])
async def test_an_issuer_that_never_answered_well_is_503(
    cluster: Cluster, running: Running, keys: JwksServer, trouble: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    match trouble:
        case "status":
            keys.status = 404
        case "body":
            keys.body = b"<html>"
        case "large":
            keys.body = b'{"keys":[' + b" " * 300_000 + json.dumps(jwk(KEY)).encode() + b"]}"
        case "redirect":
            keys.location = "/elsewhere"
        case "empty":
            keys.status = 204
        case _:
            keys.silent = True
            monkeypatch.setattr("slipstream.edge.jwks_client.FETCH_SECONDS", 0.2)
    answer = await get(running, "", bearer(minted(cluster)), path="/v1/poll")
    problem(answer, 503, "UPSTREAM_UNAVAILABLE")
    assert int(answer.headers["retry-after"]) >= 1
    assert keys.asked == ["/jwks.json"], "a redirect is not followed"
    assert ISSUER not in answer.body.decode()
    assert keys.url not in answer.body.decode()


async def test_a_tenant_with_issuers_of_its_own_takes_no_others(cluster: Cluster, running: Running) -> None:
    text = minted(cluster)
    assert (await get(running, "", bearer(text), path="/v1/poll")).status == 200
    await applied(cluster, running, issuers=[{"issuer": "own", "keys": [jwk(OTHER)]}])
    problem(await get(running, "", bearer(text), path="/v1/poll"), 401, "UNAUTHORIZED")
    assert (await get(running, "", bearer(minted(cluster, OTHER, iss="own")), path="/v1/poll")).status == 200
    # Its issuer speaks for it alone.
    await cluster.make("victim")
    await until(lambda: running.services.registry.get("victim") is not None, "the victim is known")
    problem(await get(running, "", bearer(minted(cluster, OTHER, iss="own", tenant="victim"))), 401, "UNAUTHORIZED")
    problem(await get(running, "", bearer(minted(cluster, OTHER, tenant="victim"))), 401, "UNAUTHORIZED")


async def test_an_edge_says_as_it_starts_who_gets_in(cluster: Cluster, tmp_path: Path) -> None:
    path = tmp_path / "issuers.json"
    path.write_text(json.dumps({"issuers": [{"issuer": "own", "keys": [jwk(KEY)]}]}))
    everybody, nobody = "EVERYBODY who reaches port", "SLIPSTREAM_ISSUERS is not set: only tenants whose documents name"
    for number, (env, says) in enumerate(
        (
            ({"SLIPSTREAM_AUTH": "jwt"}, {nobody}),
            ({"SLIPSTREAM_AUTH": "jwt", "SLIPSTREAM_ISSUERS": str(path)}, set()),
            ({"SLIPSTREAM_AUTH": "none"}, {everybody}),
        )
    ):
        async with Edge(cluster.nats.url, tmp_path, name=f"edge-{number}", env=env) as edge:
            log = edge.log.read_text()
        assert {text for text in (everybody, nobody) if text in log} == says
