"""Revoked between the check of the token and what it is for: whatever is waited for, it is looked at once more."""

import asyncio
import json
import time
from pathlib import Path

import pytest

from slipstream.app import Running
from slipstream.auth.revocations import Kind, Revocation
from tests.authorizer import AuthorizerServer
from tests.integration.answers import JSON, problem
from tests.integration.cluster import Cluster
from tests.integration.guarded import applied, bearer, get, guarded, minted, post
from tests.integration.wire import Answer, call, request, until
from tests.tokens import JwksServer

LOOPS = ("uvloop",)

REVOCATIONS = "/v1/revocations"


async def revoked(cluster: Cluster, running: Running, token_id: str) -> None:
    revocation = Revocation.of(cluster.tenant, Kind.TOKEN, token_id, time.time())
    await running.services.ledger.put(revocation)
    await until(lambda: running.services.revocations.get(revocation.key) is not None, "it is known")


def ask(cluster: Cluster, running: Running, how: str) -> asyncio.Task[Answer]:
    text = minted(cluster, jti="t-9", scope="subscribe publish admin")
    port, admin = running.server.port, bearer(text)
    match how:
        case "publish":
            work = post(running, text, {"topic": "a", "data": 1})
        case "revoke":
            work = call(port, REVOCATIONS, admin, JSON, method="POST", body=b'{"subject":"ada"}')
        case "end":
            work = call(port, "/v1/streams/abc.1", admin, method="DELETE")
        case _:
            work = get(running, "", admin, path=f"/v1/{how}")
    return asyncio.create_task(work, name=how)


@pytest.mark.parametrize("how", ["events", "poll", "publish", "streams", "usage", "revoke", "end"])
async def test_a_token_that_is_revoked_while_the_authorizer_thinks_does_nothing(
    cluster: Cluster, keys: JwksServer, tmp_path: Path, how: str
) -> None:
    async with AuthorizerServer.serving() as webhook, guarded(cluster, keys, tmp_path) as running:
        await applied(cluster, running, authorizer={"url": webhook.url, "timeout": "10s"})
        webhook.gate.clear()
        asking = ask(cluster, running, how)
        await until(lambda: bool(webhook.asked), "asked")
        await revoked(cluster, running, "t-9")
        webhook.gate.set()
        problem(await asyncio.wait_for(asking, 10), 401, "UNAUTHORIZED")
        assert not len(running.services.sessions)
        assert running.services.revocations.count(cluster.tenant) == 1, "none but that of the token"
        webhook.trouble = ""
        page = await get(running, "since=earliest", bearer(minted(cluster)), path="/v1/poll")
        assert page.json["events"] == [], "nothing was stored"


async def test_an_administrator_who_is_revoked_while_its_body_drips_revokes_nobody(
    cluster: Cluster, keys: JwksServer, tmp_path: Path
) -> None:
    async with guarded(cluster, keys, tmp_path) as running:
        text, body = minted(cluster, sub="root", scope="admin", jti="t-9"), json.dumps({"subject": "ada"}).encode()
        verified = running.services.verifier.checked
        wire = await cluster.wire(running.server.port)
        await wire.send(
            request(REVOCATIONS, bearer(text), JSON, f"Content-Length: {len(body)}", method="POST") + body[:5]
        )
        await until(lambda: running.services.verifier.checked > verified, "its token was found to be right")
        await revoked(cluster, running, "t-9")
        await wire.send(body[5:])
        problem(await wire.answer(), 401, "UNAUTHORIZED")
        assert running.services.revocations.count(cluster.tenant) == 1
        assert (await get(running, "", bearer(minted(cluster)), path="/v1/poll")).status == 200, "ada reads on"
