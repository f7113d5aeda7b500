"""Refusals on a real edge that look alike and cost alike: counted in checks of signatures, not in time."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from slipstream.app import Running
from tests.integration.cluster import Cluster
from tests.integration.guarded import KEY, OTHER, bearer, get, guarded, minted
from tests.integration.test_bad_input import problem
from tests.integration.wire import until
from tests.tokens import JwksServer, hmac_token, jwk, rsa_key

LOOPS = ("uvloop",)

STRANGER = rsa_key(9)
SAME = "Sec-Fetch-Site: same-origin"


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
