"""Refusals on a real edge that look alike and cost alike: counted in checks of signatures, not in time."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from slipstream.app import Running
from tests.integration.answers import JSON, problem
from tests.integration.cluster import Cluster
from tests.integration.guarded import KEY, OTHER, applied, bearer, get, guarded, minted
from tests.integration.wire import call, until
from tests.tokens import JwksServer, hmac_token, jwk, rsa_key

LOOPS = ("uvloop",)

STRANGER = rsa_key(9)
SAME = "Sec-Fetch-Site: same-origin"
OF_THE_REQUEST = {"traceparent", "date"}


@pytest.fixture
async def running(cluster: Cluster, tmp_path: Path) -> AsyncIterator[Running]:
    """With tenants that trust the default issuer, one of their own, a secret that is not there, and that take URLs."""
    async with JwksServer.serving(KEY) as keys, guarded(cluster, keys, tmp_path) as one:
        await cluster.make("own", issuers=[{"issuer": "own", "keys": [jwk(OTHER)]}])
        await cluster.make("secret", issuers=[{"issuer": "own", "secret": "dev"}])
        await cluster.make("urls", access_token_in_url=True)
        await until(lambda: one.services.registry.get("urls") is not None, "all are known")
        # The keys are read, so that no refusal waits for them.
        assert (await get(one, "", bearer(minted(cluster)), path="/v1/poll")).status == 200
        yield one


async def test_whoever_is_named_a_forged_token_is_one_check_and_one_answer(cluster: Cluster, running: Running) -> None:
    kid = jwk(KEY)["kid"]
    seen = set()
    for tenant in (cluster.tenant, "own", "secret", "urls", "nobody"):
        for issuer in ("https://id.example", "own", "https://nobody.example"):
            for text in (
                minted(cluster, STRANGER, tenant=tenant, iss=issuer),
                hmac_token(b"x" * 32, {"tenant": tenant, "iss": issuer}, kid=kid),
            ):
                for headers, query in (
                    ([bearer(text)], ""),
                    ([f"Cookie: __Host-slipstream={text}", SAME], ""),
                    ([], f"access_token={text}"),
                ):
                    before = running.services.verifier.checked
                    answer = await get(running, query, *headers, path="/v1/poll")
                    problem(answer, 401, "UNAUTHORIZED")
                    seen.add(json.dumps({**answer.json, "trace_id": ""}) + answer.headers["www-authenticate"])
                    assert running.services.verifier.checked == before + 1, (tenant, issuer, query[:12])
    assert len(seen) == 1


async def test_a_right_token_in_the_url_of_a_tenant_that_takes_none_is_no_token(
    cluster: Cluster, running: Running
) -> None:
    text = minted(cluster)
    bare = await get(running, "", path="/v1/poll")
    in_url = await get(running, f"access_token={text}", path="/v1/poll")
    problem(in_url, 401, "UNAUTHORIZED")
    assert {**in_url.json, "trace_id": ""} == {**bare.json, "trace_id": ""}
    assert in_url.headers["www-authenticate"] == bare.headers["www-authenticate"]
    # What a browser adds counts still.
    cookie = f"Cookie: __Host-slipstream={text}"
    assert (await get(running, f"access_token={text}", cookie, SAME, path="/v1/poll")).status == 200
    urls = minted(cluster, tenant="urls")
    assert (await get(running, f"access_token={urls}", path="/v1/poll")).status == 200


POLICY = {"base": {"min": "5s", "max": "60s"}}
READS = {"subscribe": ["a"], "publish": ["a"]}


async def test_a_403_has_nothing_of_the_tenants_policy_in_its_headers(cluster: Cluster, running: Running) -> None:
    await applied(cluster, running, retry=POLICY, publish={"idempotency": "required"})
    good = await get(running, "topic=a", bearer(minted(cluster)), path="/v1/poll")
    assert good.headers["x-retry-backoff-base"] == "5000", "the tenant has a policy"
    port, asks = running.server.port, "Retry-Preferences: max-attempts=9"
    body = b'{"topic":"b","data":1,"id":"1"}'
    kinds: dict[str, list[tuple[str, dict[str, Any]]]] = {
        "GET": [("nobody", {}), (cluster.tenant, {"scope": "publish"}), (cluster.tenant, {"topics": READS})],
        "POST": [("nobody", {}), (cluster.tenant, {"scope": "subscribe"}), (cluster.tenant, {"topics": READS})],
    }
    for method, who in kinds.items():
        for path in ("/v1/events", "/v1/poll") if method == "GET" else ("/v1/events",):
            seen = set()
            for tenant, changes in who:
                text = bearer(minted(cluster, tenant=tenant, **changes))
                query = "?topic=b" if method == "GET" else ""
                answer = await call(
                    port, path + query, text, asks, JSON, method=method, body=body if method == "POST" else None
                )
                problem(answer, 403, "FORBIDDEN")
                headers = {name: value for name, value in answer.headers.items() if name not in OF_THE_REQUEST}
                seen.add(json.dumps([sorted(headers.items()), {**answer.json, "trace_id": ""}]))
            assert len(seen) == 1, seen


async def test_a_crowd_with_one_token_is_one_check(cluster: Cluster, keys: JwksServer, tmp_path: Path) -> None:
    async with guarded(cluster, keys, tmp_path) as one:
        text = bearer(minted(cluster))
        crowd = await asyncio.gather(*(get(one, "", text, path="/v1/poll") for _ in range(200)))
        assert {answer.status for answer in crowd} == {200}
        assert one.services.verifier.checked == 1
