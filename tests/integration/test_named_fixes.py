"""A refusal's `fix` is about what was refused: the catalogue's sentence is for the usual cause of its code."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from slipstream.app import Running
from tests.integration.cluster import Cluster
from tests.integration.guarded import bearer, edges, minted
from tests.integration.wire import Answer, call
from tests.tokens import JwksServer

LOOPS = ("uvloop",)


@pytest.fixture
async def edge(cluster: Cluster, keys: JwksServer, tmp_path: Path) -> AsyncIterator[Running]:
    async with edges(cluster, keys, tmp_path, 1) as running:
        yield running[0]


def fix(answer: Answer, status: int) -> str:
    assert answer.status == status, answer
    return str(answer.json["fix"])


@pytest.mark.parametrize(
    ("method", "path", "named"),
    [
        ("DELETE", "/v1/streams/0a1b2c3d.42", "a stream that is open"),
        ("DELETE", "/v1/streams/no-id", "a stream that is open"),
        ("POST", "/v1/streams/0a1b2c3d.42/token", "a stream that is open"),
        ("DELETE", "/v1/revocations/subject/nobody", "from the list"),
        ("GET", "/v1/stream", "Check the path"),
    ],
)
async def test_what_is_not_there_names_its_own_fix(
    cluster: Cluster, edge: Running, method: str, path: str, named: str
) -> None:
    right = bearer(minted(cluster, scope="admin subscribe"))
    told = fix(await call(edge.server.port, path, right, method=method), 404)
    assert named in told
    assert ("create the tenant" in told) == (path == "/v1/stream"), "a tenant that is there is not to be made"
