"""A queue for each client, filled from a feed: what the examples of the libraries do."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from slipstream.cli.dev.ports import HOST


class Event(NamedTuple):
    """What the libraries are given: text, not bytes."""

    id: str
    data: str


class Queues:
    """The queues of all clients. They have no bound, as in the examples: the duration of a run is theirs."""

    def __init__(self) -> None:
        self._clients: set[asyncio.Queue[Event]] = set()
        self._count = 0

    @contextmanager
    def joined(self) -> Iterator[asyncio.Queue[Event]]:
        """A queue that gets every event for the time of the block."""
        queue: asyncio.Queue[Event] = asyncio.Queue()
        self._clients.add(queue)
        try:
            yield queue
        finally:
            self._clients.remove(queue)

    def put(self, data: str) -> None:
        """The next event, for everybody. Ids are as Slipstream's, so that the readers check the order."""
        self._count += 1
        event = Event(f"peer-{self._count}", data)
        for queue in self._clients:
            queue.put_nowait(event)

    async def feed(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take in events, a line each, until the feed ends."""
        try:
            while line := await reader.readline():
                self.put(line[:-1].decode())
        finally:
            writer.close()

    async def listen(self, port: int) -> asyncio.Server:
        """Take in events from whoever connects to this loopback port."""
        return await asyncio.start_server(self.feed, HOST, port)
