"""A log in memory behind the port `Store`, with failures to order."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

from slipstream.log.store import Outcome, Stored
from slipstream.protocol.errors import SlipstreamError
from slipstream.protocol.publication import Publication

IN_FLIGHT: Final = 64


class MemoryStore:
    """Keeps `(topic, data)` in the order of arrival. fails: answers what a publish of this data raises, None to store.

    most: the most publishes under way at once.
    """

    def __init__(self, fails: Callable[[bytes], SlipstreamError | None] = lambda _: None) -> None:
        self.stored: list[tuple[str, bytes]] = []
        self.events: list[str] = []
        self.keys: list[str | None] = []
        self.ids: list[str | None] = []
        self.most = 0
        self._under_way = 0
        self._fails = fails
        self._room = asyncio.Semaphore(IN_FLIGHT)

    async def send(self, tenant: str, publication: Publication, traceparent: str | None = None) -> Awaitable[Outcome]:
        """As the real one: waits for room, and sends in the order of the calls."""
        await self._room.acquire()
        task = asyncio.create_task(self._outcome(tenant, publication), name="memory-store")
        task.add_done_callback(lambda _: self._room.release())
        return task

    async def publish_many(
        self, tenant: str, publications: Iterable[Publication], traceparent: str | None = None
    ) -> list[Outcome]:
        return [await self._outcome(tenant, publication) for publication in publications]

    async def _outcome(self, tenant: str, publication: Publication) -> Outcome:
        try:
            return await self.publish(
                tenant,
                publication.topic,
                publication.data,
                event=publication.event,
                key=publication.key,
                message_id=publication.message_id,
            )
        except SlipstreamError as error:
            return error

    async def publish(
        self,
        tenant: str,
        topic: str,
        data: bytes,
        *,
        event: str = "",
        key: str | None = None,
        message_id: str | None = None,
        traceparent: str | None = None,
    ) -> Stored:
        assert tenant == "acme"
        assert traceparent is None
        self._under_way += 1
        self.most = max(self.most, self._under_way)
        try:
            error = self._fails(data)
            if error is not None:
                raise error
            duplicate = message_id is not None and message_id in self.ids
            self.ids.append(message_id)
            if not duplicate:
                self.stored.append((topic, data))
                self.events.append(event)
                self.keys.append(key)
            seq = len(self.stored)
            await asyncio.sleep(0)
            return Stored("k3v9x2ab", seq, duplicate)
        finally:
            self._under_way -= 1
