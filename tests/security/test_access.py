"""The administrator of one tenant, and what there is of another."""

import json
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from slipstream.app import Running
from tests.integration.answers import JSON
from tests.integration.cluster import Cluster
from tests.integration.guarded import bearer, get, minted, opened
from tests.integration.wire import Answer, call, until
from tests.security.attacks import attack

pytestmark = pytest.mark.asyncio(loop_scope="module")
LOOPS = ("uvloop",)


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def attacker(cluster: Cluster, fenced: Running) -> AsyncIterator[Cluster]:
    """A tenant whose administrator is the attacker."""
    async with Cluster.on(cluster.nats) as other:
        await until(lambda: fenced.services.registry.get(other.tenant) is not None, "the attacker is known")
        yield other


async def send(edge: Running, text: str, method: str, target: str, body: object = None) -> Answer:
    data = None if body is None else json.dumps(body).encode()
    return await call(edge.server.port, target, bearer(text), JSON, method=method, body=data)


@attack("another tenant's administrator")
@pytest.mark.parametrize("victim_is_named", [False, True])
async def test_an_administrator_has_no_power_over_another_tenant(
    cluster: Cluster,
    attacker: Cluster,
    fenced: Running,
    victim_is_named: bool,  # noqa: FBT001 - a parameter
) -> None:
    victim = minted(cluster, jti="victims-token")
    stream, ready = await opened(cluster, fenced, "", bearer(victim))
    admin = minted(attacker, sub="mallory", scope="subscribe publish admin pii:read")
    named = f"?tenant={cluster.tenant}" if victim_is_named else ""
    ids = ready["stream"], f"{fenced.services.process}.999999", "x.1"
    told = set()
    for id_ in ids:
        for method, target, body in (
            ("DELETE", f"/v1/streams/{id_}{named}", None),
            ("POST", f"/v1/streams/{id_}/token{named}", {"token": admin}),
        ):
            answer = await send(fenced, admin, method, target, body)
            assert answer.status in (400, 403, 404), answer
            told.add((method, answer.status, answer.json["code"], answer.json["detail"].replace(id_, "ID")))
    assert len(told) == 2, "whether there is such a stream is not told"
    for method, target, body in (
        ("POST", f"/v1/revocations{named}", {"subject": "ada"}),
        ("POST", f"/v1/revocations{named}", {"jti": "victims-token"}),
        ("POST", f"/v1/revocations{named}", {"tenant": cluster.tenant}),
        ("POST", f"/v1/revocations{named}", {"subject": "*"}),
        ("DELETE", f"/v1/revocations/subject/ada{named}", None),
        ("GET", f"/v1/revocations{named}", None),
        ("GET", f"/v1/streams{named}", None),
        ("GET", f"/v1/usage{named}", None),
        ("POST", f"/v1/tickets{named}", {}),
    ):
        answer = await send(fenced, admin, method, target, body)
        assert answer.status == 403 if victim_is_named else answer.status < 500, answer
        assert cluster.tenant not in answer.body.decode()
        assert "victims-token" not in answer.body.decode() or not victim_is_named
        assert ready["stream"] not in answer.body.decode()
    await cluster.put("still", b"there")
    assert [event.data for event in await stream.published(1)] == ["there"]
    assert (await get(fenced, "", bearer(victim), path="/v1/poll")).status == 200
    stream.wire.close()
