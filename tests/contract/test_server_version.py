"""A server that is too old is refused, naming both versions.

The old server is a stand-in: it answers INFO and PING as Debian's nats-server 2.9.10 does, which is all that is asked
of it before it is refused. The real one is not in the lock, and too slow to fetch for every run.
"""

import asyncio
from collections.abc import AsyncIterator

import orjson
import pytest

from slipstream.jetstream.link import LOWEST_SERVER, Access, Link
from slipstream.protocol.errors import Code, SlipstreamError
from tests.servers import HOST, NatsServer


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, version: str) -> None:
    info = {"server_id": "OLD", "version": version, "proto": 1, "headers": True, "max_payload": 1_048_576}
    writer.write(b"INFO " + orjson.dumps(info) + b"\r\n")
    while line := await reader.readline():
        if line.startswith(b"PING"):
            writer.write(b"PONG\r\n")
    writer.close()


@pytest.fixture
async def server_of() -> AsyncIterator["ServerOf"]:
    one = ServerOf()
    yield one
    for server in one.servers:
        server.close()
        await server.wait_closed()


class ServerOf:
    """Listens as a server of the given version; the answer is its URL."""

    def __init__(self) -> None:
        self.servers: list[asyncio.Server] = []

    async def __call__(self, version: str) -> str:
        server = await asyncio.start_server(lambda reader, writer: answer(reader, writer, version), HOST, 0)
        self.servers.append(server)
        return f"nats://{HOST}:{server.sockets[0].getsockname()[1]}"


@pytest.mark.parametrize("version", ["2.9.10", "2.13.99", "1.99.0"])
async def test_an_old_server_is_refused_and_both_versions_are_named(server_of: ServerOf, version: str) -> None:
    link = Link(Access((await server_of(version),)), "old")
    with pytest.raises(SlipstreamError) as refused:
        await asyncio.wait_for(link.open(), 5.0)
    assert refused.value.code is Code.UPSTREAM_UNAVAILABLE
    assert f"nats-server {version} is too old" in refused.value.message
    assert "needs 2.14.0 or newer" in refused.value.message
    assert not link.up
    await link.close()


@pytest.mark.parametrize("version", ["2.14.0", "2.15.0-RC.1", "3.0.0"])
async def test_a_newer_one_is_not(server_of: ServerOf, version: str) -> None:
    link = Link(Access((await server_of(version),)), "new")
    await asyncio.wait_for(link.open(), 5.0)
    assert link.up
    await link.close()


async def test_the_server_that_the_tests_run_on_is_new_enough(nats: NatsServer) -> None:
    link = Link(Access((nats.url,)), "real")
    await link.open()
    version = link.client.connected_server_version
    assert (version.major, version.minor, version.patch) >= LOWEST_SERVER
    await link.close()
