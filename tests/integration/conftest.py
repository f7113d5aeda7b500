"""One nats-server a module, one fresh tenant a test, and no error in the log that a test did not ask for."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator, Mapping

import pytest
import uvloop

from tests.integration.cluster import Cluster
from tests.integration.guarded import KEY
from tests.servers import NatsServer
from tests.tokens import JwksServer

_LOOPS = {"uvloop": uvloop.new_event_loop, "asyncio": asyncio.new_event_loop}


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The event loops that a module names in LOOPS; asyncio's where it names none."""
    return {name: _LOOPS[name] for name in getattr(getattr(item, "module", None), "LOOPS", ("asyncio",))}


@pytest.fixture(scope="module")
def nats(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    server = NatsServer(tmp_path_factory.mktemp("nats"))
    asyncio.run(server.start())
    yield server
    if server.alive:
        asyncio.run(server.kill())


@pytest.fixture
async def cluster(nats: NatsServer) -> AsyncIterator[Cluster]:
    async with Cluster.on(nats) as one:
        yield one


@pytest.fixture
async def keys() -> AsyncIterator[JwksServer]:
    """Where the keys of the issuer of `guarded.minted` stand."""
    async with JwksServer.serving(KEY) as server:
        yield server


@pytest.fixture(autouse=True)
def no_errors_logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """What nobody expects is logged as an error: an exception of a handler, a slice, a chase, a task."""
    yield
    errors = [record.getMessage() for record in caplog.get_records("call") if record.levelno >= logging.ERROR]
    assert not errors
