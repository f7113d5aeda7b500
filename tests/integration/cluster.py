"""A tenant on a real nats-server, and edges in this process that serve it."""

import itertools
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest

from slipstream.app import Running, connect, edge
from slipstream.demo import DemoEvent
from slipstream.jetstream import stream as streams
from slipstream.jetstream.api import Api
from slipstream.jetstream.bucket import Bucket
from slipstream.log.store import Stored
from slipstream.settings import Settings
from slipstream.tenants.model import Tenant, TenantSpec
from tests.integration.wire import Stream, Wire, request, until
from tests.servers import HOST, NatsServer

_numbers = itertools.count(1)

RINGS = pytest.mark.parametrize(
    "ring", [{}, {"ring_events": 2}, {"warm": False}], ids=["in-ring", "beyond-ring", "before-feed"]
)
"""For `Cluster.edge`: the past is in memory, has left it, or was never there."""

_DAY = 86_400.0
_MIB = 1024 * 1024
_PATIENCE = 15.0
"""Seconds that a test waits for NATS itself: how soon an edge gives up is another matter, and that of other tests."""


def text_of(event: DemoEvent) -> str:
    """The data of a demonstration event as it is published."""
    return orjson.dumps(event["data"]).decode()


class Cluster:
    """One tenant, fresh for each test, and what is open for it.

    tenant: its name. api: a NATS connection of the test's own.
    """

    def __init__(self, nats: NatsServer, api: Api, tenant: str) -> None:
        self.nats = nats
        self.api = api
        self.tenant = tenant
        self._wires: list[Wire] = []

    @classmethod
    @asynccontextmanager
    async def on(cls, nats: NatsServer, *, max_bytes: int = 64 * _MIB) -> AsyncIterator["Cluster"]:
        """A new tenant on `nats`; what the test opened is closed at the end."""
        async with connect(cls.settings_on(nats)) as api:
            api.timeout = _PATIENCE
            await Bucket(api).ensure()
            cluster = cls(nats, api, f"tenant-{next(_numbers)}")
            await cluster.make(cluster.tenant, max_bytes=max_bytes)
            try:
                yield cluster
            finally:
                for wire in cluster._wires:
                    wire.close()

    @staticmethod
    def settings_on(nats: NatsServer, **changes: Any) -> Settings:
        """An edge's settings for this server, on free ports, without authentication unless `changes` say so."""
        given = {"nats_url": nats.url, "host": HOST, "port": 0, "admin_port": 0, "auth": "none", **changes}
        return Settings(**given)

    @classmethod
    @asynccontextmanager
    async def edge_of(cls, nats: NatsServer, **changes: Any) -> AsyncIterator[Running]:
        """An edge that listens, whether NATS is there or not."""
        async with edge(cls.settings_on(nats, **changes)) as running:
            yield running

    async def make(self, name: str, *, max_bytes: int = 64 * _MIB, **spec: Any) -> None:
        """A tenant with a stream of this size."""
        await streams.ensure(self.api, name, streams.Shape(_DAY, max_bytes, 1))
        await Bucket(self.api).put(Tenant.of(name, TenantSpec(**spec)))

    async def apply(self, **spec: Any) -> Tenant:
        """Change what the tenant's document says."""
        tenant = Tenant.of(self.tenant, TenantSpec.model_validate(spec))
        await Bucket(self.api).put(tenant)
        return tenant

    @asynccontextmanager
    async def edge(self, *, warm: bool = True, **changes: Any) -> AsyncIterator[Running]:
        """An edge that is ready and knows the tenant.

        warm: its feed of the tenant runs, so that what is published from now on is in its ring.
        """
        async with self.edge_of(self.nats, **changes) as running:
            await until(
                lambda: running.services.ready and running.services.registry.get(self.tenant) is not None,
                "it is ready and knows the tenant",
            )
            if warm:
                async with running.services.hub.hold(self.tenant):
                    pass
            yield running

    async def publish(self, running: Running, events: Iterable[DemoEvent]) -> list[Stored]:
        """Publish through the edge's store, one after the other; the edge's tail has them, too, where it has one."""
        stored = [
            await running.services.store.publish(
                self.tenant, event["topic"], text_of(event).encode(), event=event["event"]
            )
            for event in events
        ]
        tails = [tail for tail in running.services.hub.tails if tail.tenant == self.tenant and tail.attached.is_set()]
        await until(lambda: all(tail.ring.last >= stored[-1].seq for tail in tails), "the edge has what was published")
        return stored

    async def put(self, topic: str, data: bytes, headers: Mapping[str, str] | None = None) -> int:
        """Publish straight to NATS, past every check of ours; the sequence."""
        answer = await self.api.request(f"sse.{self.tenant}.{topic}", data, dict(headers or {}))
        return int(orjson.loads(answer)["seq"])

    async def wire(self, port: int, *, rcvbuf: int | None = None) -> Wire:
        """A connection that is closed with the test."""
        wire = await Wire.open(port, rcvbuf=rcvbuf)
        self._wires.append(wire)
        return wire

    async def stream(
        self, port: int, query: str = "", *headers: str, version: str = "1.1", rcvbuf: int | None = None
    ) -> Stream:
        """The answer to `GET /v1/events` for this tenant, its head read."""
        wire = await self.wire(port, rcvbuf=rcvbuf)
        await wire.send(request(self.target(query), *headers, version=version))
        return Stream(wire, await wire.head())

    async def held_up(self, running: Running, query: str = "") -> Wire:
        """A wire whose request for a stream has everything but an empty buffer.

        In front of it is the answer to a poll, 30 events of 200,000 `x` on the topic `big`, which nobody reads.
        """
        for _ in range(30):
            await self.put("big", b"x" * 200_000)
        hub, server = running.services.hub, running.server._runners[-1].server
        assert server is not None
        number, others = hub._number, set(server.connections)
        wire = await self.wire(running.server.port, rcvbuf=8192)
        await until(lambda: bool(set(server.connections) - others), "accepted")
        (connection,) = set(server.connections) - others
        assert connection.transport is not None
        # Else aiohttp itself waits until little is left, and the request behind has to wait for its turn.
        connection.transport.set_write_buffer_limits(high=64 * _MIB)
        poll = request(self.target("since=earliest&limit=30&topic=big", "/v1/poll"))
        await wire.send(poll + request(self.target(query)))
        await until(lambda: hub._number > number, "the stream's request is held up")
        return wire

    def target(self, query: str = "", path: str = "/v1/events") -> str:
        return f"{path}?tenant={self.tenant}" + (f"&{query}" if query else "")

    async def opened(self, port: int, query: str = "", *headers: str, **options: Any) -> Stream:
        """An open stream whose `stream.ready` was read."""
        stream = await self.stream(port, query, *headers, **options)
        assert stream.head.status == 200, stream.head
        await stream.one("stream.ready")
        return stream
