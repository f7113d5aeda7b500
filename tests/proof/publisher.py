"""Publishes as any producer would, until every event is acknowledged. Here through NATS, with plain nats-py."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Self

import nats
from nats.aio.client import Client
from nats.errors import Error
from nats.js import JetStreamContext

from tests.proof.book import Book
from tests.proof.plan import Burst, Item

IN_FLIGHT = 256
ACK_SECONDS = 2.0
RETRY_SECONDS = 0.05
EVENT_SECONDS = 60.0
"""After this long without an acknowledgement an event is given up. Below the de-duplication window of 120 s, on which
the safety of a retry rests."""
LEAVE_SECONDS = 2.5
"""A connection over which nothing was acknowledged for so long, though something was sent, is changed for another: a
server that is cut off from the others stays connected to its clients, and refuses all they publish (measured)."""


class UnackedError(Exception):
    """This time no acknowledgement came: the event may be stored or not, and is to be sent again."""


class Publisher(ABC):
    """Sends events at their moments and each again, with the same id, until it is acknowledged.

    retries: publishes repeated because their acknowledgement stayed out.
    """

    def __init__(self, books: Mapping[str, Book]) -> None:
        self.retries = 0
        self._books = books
        self._slots = asyncio.Semaphore(IN_FLIGHT)

    async def publish(self, plan: Iterable[Burst]) -> None:
        """Publish all bursts at their moments. Raises TimeoutError when an event stays unacknowledged."""
        began = asyncio.get_running_loop().time()
        async with asyncio.TaskGroup() as group:
            for burst in plan:
                await asyncio.sleep(max(0.0, began + burst.at - asyncio.get_running_loop().time()))
                for item in burst.items:
                    await self._slots.acquire()
                    group.create_task(self._in_a_slot(item), name=f"publish {item.tenant} {item.id}")

    async def until_acked(self, item: Item) -> None:
        """Publish one event. Raises TimeoutError, or what `give_up` does, when it stays unacknowledged."""
        book = self._books[item.tenant]
        book.start()
        deadline = asyncio.get_running_loop().time() + EVENT_SECONDS
        while True:
            try:
                seq = await self.store(item)
            except UnackedError as error:
                self.retries += 1
                if asyncio.get_running_loop().time() > deadline:
                    self.give_up(item, error)
                    return
                await asyncio.sleep(RETRY_SECONDS)
            else:
                book.ack(seq, item.event)
                return

    @abstractmethod
    async def store(self, item: Item) -> int:
        """Send the event once; its number. Raises UnackedError."""

    def give_up(self, item: Item, error: UnackedError) -> None:
        """An event stays unacknowledged. Raises TimeoutError."""
        raise TimeoutError(f"{item.tenant} {item.id}: not acknowledged in {EVENT_SECONDS:g} s") from error

    async def _in_a_slot(self, item: Item) -> None:
        try:
            await self.until_acked(item)
        finally:
            self._slots.release()


class NatsPublisher(Publisher):
    """One connection to NATS."""

    def __init__(self, client: Client, books: Mapping[str, Book]) -> None:
        super().__init__(books)
        self._client = client
        self._stream: JetStreamContext = client.jetstream(timeout=ACK_SECONDS)
        self._failing_since: float | None = None

    @classmethod
    async def connect(cls, servers: str | Sequence[str], books: Mapping[str, Book]) -> Self:
        """Connect to one of the servers, with reconnects for ever: they are going to be killed."""

        async def heard(_: Exception) -> None:
            """Lost connections are part of the plan; what they cost shows as retries."""

        client = await nats.connect(
            servers if isinstance(servers, str) else list(servers),
            max_reconnect_attempts=-1,
            reconnect_time_wait=0.05,
            connect_timeout=2,
            ping_interval=2,
            error_cb=heard,
        )
        return cls(client, books)

    async def store(self, item: Item) -> int:
        """Send the event once; its number. Raises UnackedError."""
        headers = {"Nats-Msg-Id": item.id, "Sse-Event": item.event.name}
        subject, payload = f"sse.{item.tenant}.{item.event.topic}", item.event.data.encode()
        try:
            ack = await self._stream.publish(subject, payload, headers=headers, stream=f"SSE_{item.tenant}")
        except Error as error:
            await self._failed()
            raise UnackedError(str(error)) from error
        self._failing_since = None
        return ack.seq

    async def _failed(self) -> None:
        now = asyncio.get_running_loop().time()
        if self._failing_since is None:
            self._failing_since = now
        elif now - self._failing_since > LEAVE_SECONDS and self._client.is_connected:
            self._failing_since = now
            await self._client.force_reconnect()

    async def first_since(self, tenant: str, moment: datetime, last: int) -> int:
        """The lowest number whose event was stored at `moment` or later, found by bisection; last + 1 if none."""
        low, high = 1, last + 1
        while low < high:
            middle = (low + high) // 2
            stored = (await self._stream.get_msg(f"SSE_{tenant}", seq=middle)).time
            if stored is None:
                raise ValueError(f"SSE_{tenant} {middle} has no stored time")
            if stored < moment:
                low = middle + 1
            else:
                high = middle
        return low

    async def close(self) -> None:
        """Close the connection; nothing is outstanding once `publish` returned."""
        await self._client.close()
