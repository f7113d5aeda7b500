"""One nats-server a module, running again before each test; a pod and a tenant of its own for each test."""

import asyncio
import itertools
import logging
from collections.abc import AsyncIterator, Iterator

import pytest

from tests.contract.pod import Pod
from tests.servers import NatsServer

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def module_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    server = NatsServer(tmp_path_factory.mktemp("nats"))
    yield server
    if server.alive:
        asyncio.run(server.kill())


@pytest.fixture
async def nats(module_server: NatsServer) -> NatsServer:
    """The module's server; a test may kill or freeze it."""
    if module_server.alive:
        # Not asked whether it is well: a stream that is removed while somebody makes it stays on disk, and /healthz
        # never gets over that (nats-server 2.15.1, measured).
        module_server.resume()
    else:
        await module_server.start()
    return module_server


@pytest.fixture
async def pod(nats: NatsServer) -> AsyncIterator[Pod]:
    async with Pod(nats.url) as one:
        yield one


@pytest.fixture
async def tenant(pod: Pod) -> str:
    """A tenant with an empty stream."""
    name = f"t{next(_numbers)}"
    await pod.ensure(name)
    return name


@pytest.fixture(autouse=True)
def no_errors_logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Ours logs an error where something is broken; a test that wants one clears it away."""
    yield
    records = [record for record in caplog.get_records("call") if record.name.startswith("slipstream")]
    assert not [record.getMessage() for record in records if record.levelno >= logging.ERROR]
