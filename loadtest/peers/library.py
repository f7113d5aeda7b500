"""Peers that are a Python library in a small server process of ours, which takes its events from a TCP connection."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.util import find_spec
from pathlib import Path

from loadtest.child import child
from loadtest.measure import Settings
from loadtest.peers.peer import START_SECONDS, Peer, Serving, accepts
from loadtest.publisher import Plan
from slipstream.cli.dev.ports import HOST, free_ports


class Library(Peer):
    """A subclass names its modules and the module that is the server: `python -m SERVER PORT FEED_PORT`."""

    hint = "pip install 'slipstream[peers]'"
    modules: tuple[str, ...]
    server: str

    def installed(self) -> bool:
        """Whether its modules can be imported."""
        return all(find_spec(name) for name in self.modules)

    @asynccontextmanager
    async def start(self, settings: Settings, connections: int) -> AsyncIterator[Serving]:
        """The server process; the number of connections needs no preparation."""
        del connections
        with tempfile.TemporaryDirectory(prefix=f"slipstream-{self.name}-") as name:
            folder = Path(name)
            port, feed_port = free_ports(2)
            argv = [sys.executable, "-m", self.server, str(port), str(feed_port)]
            async with child(self.name, argv, folder=folder, cores=settings.cores.edge) as server:
                await server.serving(lambda: accepts(port), START_SECONDS)
                feed = Plan(f"tcp://{HOST}:{feed_port}", "bench")
                yield Serving(port, "/events", folder, server.pid, (), feed)
