"""What one process of ours has of JetStream, and a sink that writes down what it is told."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from itertools import islice
from typing import NamedTuple, Self

import orjson

from slipstream import demo
from slipstream.jetstream import stream as streams
from slipstream.jetstream.api import Api
from slipstream.jetstream.direct import Direct
from slipstream.jetstream.follow import Follower
from slipstream.jetstream.link import Access, Link
from slipstream.jetstream.publish import Publisher
from slipstream.jetstream.source import JetStreamSource
from slipstream.jetstream.subjects import stream_of
from slipstream.log.source import State
from slipstream.protocol.control import Reason
from slipstream.protocol.event import Record
from slipstream.protocol.topic import subject
from tests.servers import NatsServer, wait_until

EVENT_BYTES = 256 * 1024
SHAPE = streams.Shape(max_age=3600.0, max_bytes=256 * 1024 * 1024, replicas=1)


class Told(NamedTuple):
    """A call of `restart`; `after` is how many records had come before it."""

    state: State
    base: int
    base_time_ms: int | None
    reason: Reason | None
    after: int


class Recording:
    """A `log.source.Sink` that keeps everything."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.told: list[Told] = []

    def append(self, record: Record) -> None:
        self.records.append(record)

    def restart(self, state: State, base: int, base_time_ms: int | None, reason: Reason | None) -> None:
        self.told.append(Told(state, base, base_time_ms, reason, len(self.records)))

    @property
    def seqs(self) -> list[int]:
        return [record.seq for record in self.records]

    @property
    def reasons(self) -> list[Reason | None]:
        return [told.reason for told in self.told]

    async def began(self) -> None:
        await until(lambda: bool(self.told), "the feed begins")

    async def has(self, count: int, *, seconds: float = 15.0) -> None:
        """Wait for so many records in all."""
        await until(lambda: len(self.records) >= count, f"{count} records", seconds=seconds)


class Message(NamedTuple):
    """A flight as it is published: `id` makes a retry of it safe."""

    topic: str
    data: bytes
    id: str


def flights(count: int) -> Iterator[Message]:
    """The first flights of the demonstration data."""
    for number, event in enumerate(islice(demo.flights(), count)):
        yield Message(event["topic"], orjson.dumps(event["data"]), f"flight-{number}")


async def until(condition: Callable[[], bool], what: str, *, seconds: float = 15.0) -> None:
    """Wait for something that is seen by looking."""

    async def met() -> bool:
        return condition()

    await wait_until(met, seconds=seconds, what=what)


async def freeze(server: NatsServer) -> None:
    """SIGSTOP, and wait until every thread stands still: until then it may answer. `server.resume()` thaws it."""
    server.pause()
    await until(lambda: os.waitid(os.P_PID, server.pid, os.WSTOPPED | os.WNOWAIT | os.WNOHANG) is not None, "it stops")


class Pod:
    """A process's connections, watched as the composition root has them watched. `urls`: servers of one cluster."""

    def __init__(self, urls: str, name: str = "pod") -> None:
        self.name = name
        access = Access(tuple(urls.split(",")))
        self.link = Link(access, f"{name}-api")
        self.feed_link = Link(access, f"{name}-feed")
        self.api = Api(self.link)
        self.feed_api = Api(self.feed_link)
        self.direct = Direct(self.link)
        self.publisher = Publisher(self.api)
        self._watches: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        await self.link.open()
        await self.feed_link.open()
        self._watches = [asyncio.create_task(link.run(), name=link.name) for link in (self.link, self.feed_link)]
        return self

    async def __aexit__(self, *_: object) -> None:
        await ended(*self._watches)
        await self.link.close()
        await self.feed_link.close()

    def source(self, tenant: str, event_bytes: int = EVENT_BYTES) -> JetStreamSource:
        return JetStreamSource(self.api, self.direct, tenant, lambda: event_bytes)

    def follower(self, tenant: str, sink: Recording) -> Follower:
        return Follower(self.api, self.feed_api, self.source(tenant), self.name, sink)

    async def ensure(self, tenant: str, shape: streams.Shape = SHAPE) -> streams.Found:
        return await streams.ensure(self.api, tenant, shape)

    async def publish(self, tenant: str, messages: Iterable[Message]) -> int:
        """Publish one after the other; the last sequence."""
        seq = 0
        for topic, data, _ in messages:
            seq = (await self.publisher.publish(tenant, topic, data)).seq
        return seq

    async def put(self, tenant: str, topic: str, data: bytes, headers: dict[str, str] | None = None) -> int:
        """Publish past every check of ours; the sequence."""
        answer = orjson.loads(await self.api.request(subject(tenant, topic), data, headers))
        return int(answer["seq"])

    async def consumers(self, tenant: str) -> list[str]:
        """The names of the stream's consumers."""
        answer = await self.api.call(f"CONSUMER.NAMES.{stream_of(tenant)}")
        return list(answer["consumers"])


@asynccontextmanager
async def running(follower: Follower) -> AsyncIterator[None]:
    """The follower runs inside the block, and has not failed at its end."""
    task = asyncio.create_task(follower.run(), name="follower")
    try:
        yield
        assert not task.done(), task
    finally:
        await ended(task)


@asynccontextmanager
async def following(pod: Pod, tenant: str) -> AsyncIterator[Recording]:
    """A sink that follows the tenant from the head on."""
    sink = Recording()
    async with running(pod.follower(tenant, sink)):
        await sink.began()
        yield sink


async def ended(*tasks: asyncio.Task[None]) -> None:
    """Cancel tasks and wait for their end; what they failed of is raised."""
    for task in tasks:
        task.cancel()
    done, late = await asyncio.wait(tasks, timeout=5.0) if tasks else (set(), set())
    assert not late, f"did not end: {late}"
    for task in done:
        if not task.cancelled():
            task.result()
