"""The floor: a C program that writes each event to each socket with one `send`, and does nothing else."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from loadtest.child import child
from loadtest.compiled import HINT, compiled, compiler
from loadtest.measure import Settings
from loadtest.peers.peer import START_SECONDS, Peer, Serving, accepts
from loadtest.publisher import Plan
from slipstream.cli.dev.ports import HOST, free_ports

SOURCE: Final = Path(__file__).resolve().parent.parent / "baseline" / "send_loop.c"


class SendLoop(Peer):
    """Takes events as the libraries do; its frames are as long as Slipstream's."""

    name = "c-send-loop"
    hint = HINT

    def installed(self) -> bool:
        """Whether it can be compiled."""
        return compiler() is not None

    @asynccontextmanager
    async def start(self, settings: Settings, connections: int) -> AsyncIterator[Serving]:
        """Compile and run it."""
        with tempfile.TemporaryDirectory(prefix="slipstream-send-loop-") as name:
            folder = Path(name)
            port, feed_port = free_ports(2)
            argv = [str(compiled(SOURCE, folder)), str(port), str(feed_port), str(connections)]
            async with child(self.name, argv, folder=folder, cores=settings.cores.edge) as server:
                await server.serving(lambda: accepts(port), START_SECONDS)
                yield Serving(port, "/", folder, server.pid, (), Plan(f"tcp://{HOST}:{feed_port}", "bench"))
