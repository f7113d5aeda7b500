"""Publishes through NATS as any producer would, with plain nats-py, until every event is acknowledged."""

import asyncio
from collections.abc import Mapping
from datetime import datetime

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
"""After this long without an acknowledgement the run fails. Below the de-duplication window of 120 s, on which the
safety of a retry rests."""


class Publisher:
    """One connection to NATS. retries: publishes repeated with the same id because their acknowledgement stayed out."""

    def __init__(self, client: Client, books: Mapping[str, Book]) -> None:
        self.retries = 0
        self._client = client
        self._stream: JetStreamContext = client.jetstream(timeout=ACK_SECONDS)
        self._books = books
        self._slots = asyncio.Semaphore(IN_FLIGHT)

    @classmethod
    async def connect(cls, url: str, books: Mapping[str, Book]) -> "Publisher":
        """Connect, with reconnects for ever: the server is going to be killed."""

        async def heard(_: Exception) -> None:
            """Lost connections are part of the plan; what they cost shows as retries."""

        client = await nats.connect(
            url, max_reconnect_attempts=-1, reconnect_time_wait=0.05, connect_timeout=2, ping_interval=2, error_cb=heard
        )
        return cls(client, books)

    async def publish(self, plan: list[Burst]) -> None:
        """Publish all bursts at their moments. Raises TimeoutError when an event stays unacknowledged."""
        began = asyncio.get_running_loop().time()
        async with asyncio.TaskGroup() as group:
            for burst in plan:
                await asyncio.sleep(max(0.0, began + burst.at - asyncio.get_running_loop().time()))
                for item in burst.items:
                    await self._slots.acquire()
                    group.create_task(self._until_acked(item), name=f"publish {item.tenant} {item.id}")

    async def _until_acked(self, item: Item) -> None:
        book = self._books[item.tenant]
        book.start()
        deadline = asyncio.get_running_loop().time() + EVENT_SECONDS
        headers = {"Nats-Msg-Id": item.id, "Sse-Event": item.event.name}
        subject, payload = f"sse.{item.tenant}.{item.event.topic}", item.event.data.encode()
        try:
            while True:
                try:
                    ack = await self._stream.publish(subject, payload, headers=headers, stream=f"SSE_{item.tenant}")
                except Error as error:
                    self.retries += 1
                    if asyncio.get_running_loop().time() > deadline:
                        raise TimeoutError(f"{subject} {item.id}: not acknowledged in {EVENT_SECONDS:g} s") from error
                    await asyncio.sleep(RETRY_SECONDS)
                else:
                    book.ack(ack.seq, item.event)
                    return
        finally:
            self._slots.release()

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
