"""One nats-server, one tenant and one edge of each kind for a whole module: what is refused leaves nothing behind."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from slipstream.app import Running
from tests.integration.cluster import Cluster
from tests.integration.conftest import nats, no_errors_logged, pytest_asyncio_loop_factories
from tests.integration.guarded import KEY, guarded
from tests.servers import NatsServer
from tests.tokens import JwksServer

__all__ = ["nats", "no_errors_logged", "pytest_asyncio_loop_factories"]


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "attack(name): the row of tests/security/attacks.yaml that a test tries")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def cluster(nats: NatsServer) -> AsyncIterator[Cluster]:
    async with Cluster.on(nats) as one:
        yield one


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def running(cluster: Cluster) -> AsyncIterator[Running]:
    """An edge without authentication: what holds here holds for whoever got past it."""
    async with cluster.edge(event_bytes=2000, body_deadline=0.5) as one:
        yield one


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def keys() -> AsyncIterator[JwksServer]:
    async with JwksServer.serving(KEY) as server:
        yield server


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def fenced(
    cluster: Cluster, keys: JwksServer, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Running]:
    """An edge that wants tokens of the issuer at `keys`."""
    folder: Path = tmp_path_factory.mktemp("issuers")
    async with guarded(cluster, keys, folder) as one:
        yield one
