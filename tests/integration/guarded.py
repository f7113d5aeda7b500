"""An edge that wants tokens, an issuer that it trusts, and requests that name no tenant but by their token."""

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from slipstream.app import Running
from slipstream.auth.mint import SigningKey
from tests.integration.answers import JSON
from tests.integration.cluster import Cluster
from tests.integration.wire import Answer, Stream, call, request, until
from tests.tokens import ISSUER, JwksServer, claims, ec_key, rsa_key, token

KEY, OTHER = rsa_key(), ec_key()
PATH = "/v1/events"


def bearer(text: str) -> str:
    return f"Authorization: Bearer {text}"


def minted(cluster: Cluster, key: SigningKey = KEY, **changes: Any) -> str:
    """A token for the cluster's tenant that is right, but for the changes of its claims."""
    return token(key, claims(**{"tenant": cluster.tenant, **changes}))


@asynccontextmanager
async def guarded(cluster: Cluster, keys: JwksServer, tmp_path: Path, **changes: Any) -> AsyncIterator[Running]:
    """An edge whose default issuer is the server of keys."""
    path = tmp_path / "issuers.json"
    path.write_text(json.dumps({"issuers": [{"issuer": ISSUER, "jwks_url": keys.url}]}))
    async with cluster.edge(auth="jwt", issuers=path, **changes) as one:
        yield one


@asynccontextmanager
async def edges(cluster: Cluster, keys: JwksServer, tmp_path: Path, count: int) -> AsyncIterator[list[Running]]:
    """So many of them that know one another."""
    async with AsyncExitStack() as stack:
        running = [await stack.enter_async_context(guarded(cluster, keys, tmp_path)) for _ in range(count)]
        await until(
            lambda: all(one.services.admission.document()["processes"] == count for one in running), "all are known"
        )
        yield running


async def applied(cluster: Cluster, running: Running, **spec: Any) -> None:
    """Change the tenant's document, and wait until the edge knows it."""
    tenant = await cluster.apply(**spec)
    await until(lambda: running.services.registry.get(cluster.tenant) == tenant, "the document is known")


async def opened(cluster: Cluster, running: Running, query: str, *headers: str) -> tuple[Stream, dict[str, Any]]:
    """An open stream at a path without the tenant's name, and what its `stream.ready` says."""
    stream = await _answered(cluster, running, query, *headers)
    assert stream.head.status == 200, await stream.wire.rest()
    return stream, json.loads((await stream.one("stream.ready")).data)


async def _answered(cluster: Cluster, running: Running, query: str, *headers: str) -> Stream:
    wire = await cluster.wire(running.server.port)
    await wire.send(request(f"{PATH}?{query}", *headers))
    return Stream(wire, await wire.head())


async def get(running: Running, query: str, *headers: str, path: str = PATH) -> Answer:
    return await call(running.server.port, f"{path}?{query}", *headers)


async def post(running: Running, text: str, body: Any, query: str = "") -> Answer:
    return await call(
        running.server.port, f"{PATH}?{query}", bearer(text), JSON, method="POST", body=json.dumps(body).encode()
    )
