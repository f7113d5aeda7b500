"""What a peer is: a server that is started for one trial, and all that is needed to measure it."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path

from loadtest.measure import Settings
from loadtest.publisher import Plan
from slipstream.cli.dev.ports import HOST

START_SECONDS = 20.0
"""How long a peer may take until it serves."""


@dataclass(frozen=True, slots=True)
class Serving:
    """A running peer.

    port, target: where its streams are (path and query); folder: for logs, gone when the peer is; pid: the process
    that writes to the streams; others: processes that it cannot do without; feed: how to publish to it, with
    `feed_module` as the process.
    """

    port: int
    target: str
    folder: Path
    pid: int
    others: tuple[int, ...]
    feed: Plan
    feed_module: str = "loadtest.peers.feed"


class Peer(ABC):
    """A server of event streams."""

    name: str
    """As the command line and the report have it."""

    hint: str
    """How to install it."""

    @abstractmethod
    def installed(self) -> bool:
        """Whether all that it needs is on this machine."""

    @abstractmethod
    def start(self, settings: Settings, connections: int) -> AbstractAsyncContextManager[Serving]:
        """Run it on `settings.cores.edge` with room for so many streams. Raises ChildFailed when it does not serve."""


async def accepts(port: int) -> bool:
    """Whether somebody accepts connections on this loopback port."""
    try:
        _, writer = await asyncio.wait_for(asyncio.open_connection(HOST, port), 1.0)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True
