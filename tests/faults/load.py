"""Events that come steadily on two tenants, over NATS and over HTTP, and what was promised of them."""

import asyncio
import itertools
import json
import random
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Self

import aiohttp

from tests.faults.pulse import Pulse
from tests.proof.book import Book
from tests.proof.checker import Event, Log, Loss
from tests.proof.plan import FLIGHTS, QUAKES, Burst, Item, demo_items
from tests.proof.publisher import NatsPublisher, Publisher, UnackedError

TENANTS = (FLIGHTS, QUAKES)
OVER_NATS_SECONDS = 0.04
OVER_HTTP_SECONDS = 0.1
"""Between two events of one publisher and tenant: together a tenant has an event each 30 ms."""
HTTP_SECONDS = 7.0
"""An edge answers within 5 s, as long as it lives."""


@dataclass(slots=True)
class LoadBook(Book):
    """A tenant's book that knows what need not come: losses that were made, and events that nobody acknowledged."""

    losses: list[Loss] = field(default_factory=list)
    unknown: list[Event] = field(default_factory=list)

    def spoil(self, seq: int) -> None:
        """An event was stored that no reader can be sent: each must be told."""
        self.losses.append(Loss("undeliverable", seq, seq))

    def log(self, foreign: Sequence["LoadBook"] = ()) -> Log:
        """What readers are judged by."""
        others = {(event.name, event.data) for book in foreign for event in book.acked.values()}
        others -= {(event.name, event.data) for event in self.acked.values()}
        return Log(self.acked, losses=self.losses, unknown=self.unknown, foreign=others)


class _Watched(Publisher):
    """A publisher of one tenant, with a pulse, that goes on without what stays unacknowledged."""

    tenant: str
    pulse: Pulse
    book: LoadBook

    def give_up(self, item: Item, error: UnackedError) -> None:
        """It may come or not."""
        self.book.unknown.append(item.event)

    def _beat(self) -> None:
        self.pulse.beat(asyncio.get_running_loop().time())


class OverNats(_Watched, NatsPublisher):
    """Over NATS, on a connection of its own."""

    @classmethod
    async def dial(cls, servers: Sequence[str], tenant: str, book: LoadBook) -> Self:
        """Connect to one of the servers."""
        publisher = await cls.connect(servers, {tenant: book})
        publisher.tenant, publisher.book = tenant, book
        publisher.pulse = Pulse(f"{tenant} over NATS")
        return publisher

    async def store(self, item: Item) -> int:
        """Send the event once; its number. Raises UnackedError."""
        seq = await super().store(item)
        self._beat()
        return seq


class OverHttp(_Watched):
    """Over HTTP, at one URL after another."""

    def __init__(self, session: aiohttp.ClientSession, urls: Sequence[str], tenant: str, book: LoadBook) -> None:
        super().__init__({tenant: book})
        self.tenant, self.book = tenant, book
        self.pulse = Pulse(f"{tenant} over HTTP")
        self.refusals: Counter[str] = Counter()
        self._session = session
        self._urls = itertools.cycle(urls)
        self._url = next(self._urls)

    async def store(self, item: Item) -> int:
        """Send the event once; its number. Raises UnackedError."""
        url, event = self._url, item.event
        document = {"topic": event.topic, "event": event.name, "data": event.data, "id": item.id}
        try:
            async with self._session.post(
                f"{url}/v1/events", json=document, headers={"X-Tenant-ID": item.tenant}
            ) as answer:
                text = await answer.text()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            reason = type(error).__name__
        else:
            if answer.status == HTTPStatus.OK:
                self._beat()
                return int(json.loads(text)["seq"])
            reason = str(answer.status)
        if url == self._url:
            self._url = next(self._urls)
        self.refusals[reason] += 1
        raise UnackedError(reason)


class Load:
    """Four publishers, each road and tenant one, that publish until they are stopped."""

    def __init__(self, seed: int, publishers: Sequence[OverNats | OverHttp]) -> None:
        self.publishers = publishers
        self._seed = seed
        self._stopped = False

    @classmethod
    @asynccontextmanager
    async def connected(
        cls, seed: int, servers: Sequence[str], urls: Sequence[str], books: Mapping[str, LoadBook]
    ) -> AsyncIterator["Load"]:
        """Publishers at NATS servers and URLs, ready to run."""
        async with AsyncExitStack() as stack:
            session = await stack.enter_async_context(
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=HTTP_SECONDS))
            )
            publishers: list[OverNats | OverHttp] = []
            for tenant, book in books.items():
                over_nats = await OverNats.dial(servers, tenant, book)
                stack.push_async_callback(over_nats.close)
                publishers += [over_nats, OverHttp(session, urls, tenant, book)]
            yield cls(seed, publishers)

    async def run(self) -> None:
        """Publish steadily; returns once stopped, and all that was begun is acknowledged or given up."""
        async with asyncio.TaskGroup() as group:
            for one in self.publishers:
                group.create_task(one.publish(self._bursts(one)), name=one.pulse.name)

    def stop(self) -> None:
        """Begin no new event."""
        self._stopped = True

    def _bursts(self, publisher: OverNats | OverHttp) -> Iterator[Burst]:
        every = OVER_NATS_SECONDS if isinstance(publisher, OverNats) else OVER_HTTP_SECONDS
        name = publisher.pulse.name
        dice = random.Random(f"load/{self._seed}/{name}")
        for number, item in enumerate(_endless(name, publisher.tenant, dice)):
            if self._stopped:
                return
            yield Burst(number * every, (item,))


def _endless(road: str, tenant: str, dice: random.Random) -> Iterator[Item]:
    for turn in itertools.count():
        items = demo_items(tenant, f"{road}/{turn}")
        dice.shuffle(items)
        yield from items
