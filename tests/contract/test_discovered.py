"""Servers that a cluster tells of: they come, and go, with other addresses each time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from slipstream.jetstream.client import Client
from slipstream.jetstream.link import Access, Link
from tests.contract.pod import until
from tests.process import ServerProcess
from tests.servers import HOST, free_port, nats_server_path

LIVES = 4


class Member(ServerProcess):
    """A server of a cluster, without JetStream, which would wait for a quorum. first: where another one is found."""

    def __init__(self, folder: Path, number: int, first: int) -> None:
        self.port = free_port()
        routes = [f"--cluster=nats://{HOST}:{first if not number else free_port()}", f"--routes=nats://{HOST}:{first}"]
        argv = [str(nats_server_path()), f"--addr={HOST}", f"--port={self.port}", "--cluster_name=pair", *routes]
        super().__init__(f"member-{number}", argv, folder / f"member-{number}.log")


@asynccontextmanager
async def told(folder: Path) -> AsyncIterator[tuple[Link, ServerProcess, list[int]]]:
    """A connection to a server whose neighbour was killed and came back elsewhere: where it was, the last is alive."""
    route, ports = free_port(), []
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(Member(folder, 0, route))
        link = Link(Access((f"nats://{HOST}:{first.port}",)), "told")
        await link.open()
        stack.push_async_callback(link.close)
        for number in range(1, LIVES + 1):
            other = await stack.enter_async_context(Member(folder, number, route))
            ports.append(other.port)
            await until(lambda: ports[-1] in known(link), "it is told of the other")
            if number < LIVES:
                await other.kill()
        yield link, first, ports


def known(link: Link) -> set[int | None]:
    return {server.uri.port for server in link.client.discovered}


async def test_the_addresses_where_servers_were_once_are_forgotten(tmp_path: Path) -> None:
    async with told(tmp_path) as (link, first, ports):
        assert ports[-1] in known(link)
        assert len(known(link)) <= 2, "two servers were the most that it was told of at once"
        watch = asyncio.create_task(link.run())
        await first.kill()
        await until(lambda: link.up and link.client.address == (HOST, ports[-1]), "it is at the one that is left")
        watch.cancel()
        await asyncio.wait({watch})


async def test_a_server_that_names_itself_alone_takes_away_no_way_out() -> None:
    client = Client()
    client.options = {"dont_randomize": True}
    client._setup_server_pool(["nats://one:4222"])
    client._current_server = client._server_pool[0]
    for named in (["one:4222", "10.0.0.1:4222", "10.0.0.2:4222"], ["one:4222"], []):
        await client._process_info({"connect_urls": named})
        assert [server.uri.netloc for server in client.discovered] == ["10.0.0.1:4222", "10.0.0.2:4222"]
    await client._process_info({"connect_urls": ["one:4222", "10.0.0.3:4222", "10.0.0.4:4222"]})
    assert {"10.0.0.3:4222", "10.0.0.4:4222"} <= {server.uri.netloc for server in client.discovered}
    assert len(client.discovered) == 3
    # Another connection begins with what this one knows, and with the same bound.
    fresh = Client(client.discovered)
    fresh.options = client.options
    fresh._setup_server_pool(["nats://one:4222"])
    fresh._current_server = next(server for server in fresh._server_pool if not server.discovered)
    await fresh._process_info({"connect_urls": ["one:4222", "10.0.0.5:4222", "10.0.0.6:4222"]})
    assert {"10.0.0.5:4222", "10.0.0.6:4222"} <= {server.uri.netloc for server in fresh.discovered}
    assert len(fresh.discovered) == 3
