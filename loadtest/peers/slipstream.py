"""Slipstream as a peer among others: NATS in front of one edge, as `loadtest.bench` measures it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from loadtest.measure import TARGET, Settings
from loadtest.peers.peer import Peer, Serving
from loadtest.publisher import Plan
from loadtest.servers import TENANT, stack


class Slipstream(Peer):
    """Events are published to JetStream, the edge has a core of its own, nats-server shares the others."""

    name = "slipstream"
    hint = "make setup"

    def installed(self) -> bool:
        """It is what this repository is."""
        return True

    @asynccontextmanager
    async def start(self, settings: Settings, connections: int) -> AsyncIterator[Serving]:
        """A nats-server and an edge."""
        async with stack(settings.cores, connections=connections, store=settings.store, loop=settings.loop) as servers:
            feed = Plan(servers.nats_url, TENANT)
            others = (servers.nats_pid,)
            yield Serving(
                servers.port, TARGET, servers.folder, servers.edge_pid, others, feed, feed_module="loadtest.publisher"
            )
