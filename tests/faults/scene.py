"""A tenant of its own for faults that destroy history, so that on the others nothing may be told."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from http import HTTPStatus

from nats.errors import Error

from tests.faults.visit import ANY, Guest, reader
from tests.faults.world import World
from tests.process import wait_until
from tests.proof.checker import Event
from tests.proof.eras import Era, judge_eras
from tests.proof.plan import QUAKES, demo_items
from tests.servers import apply_tenant, http_get

ACK_SECONDS = 2.0
AGAIN_SECONDS = 0.1
STORED_SECONDS = 45.0
SEEN_SECONDS = 45.0
KNOWN_SECONDS = 30.0


class Scene:
    """present: readers that are there all the time. absent: one that is away when it happens, and comes back.

    acked: what was stored in this era, by number.
    """

    def __init__(self, world: World, tenant: str, spec: Mapping[str, object]) -> None:
        self.tenant = tenant
        self.stream = f"SSE_{tenant}"
        self.acked: dict[int, Event] = {}
        self._world = world
        self._spec = spec
        edges = [edge.port for edge in world.cluster.edges]
        caddy = [world.cluster.caddy.port]
        self.present = [
            Guest(reader(f"{tenant} plain", tenant, edges, ANY, since="earliest")),
            Guest(reader(f"{tenant} browser by Caddy", tenant, caddy, ANY, since="earliest", kind="browser")),
            Guest(reader(f"{tenant} gzip", tenant, edges, ANY, since="earliest", kind="gzip")),
            Guest(reader(f"{tenant} poll", tenant, edges, ANY, since="earliest", kind="poll")),
        ]
        self.absent = Guest(reader(f"{tenant} away", tenant, edges, ANY, since="earliest", kind="browser"))
        self._items = itertools.cycle(demo_items(QUAKES, tenant))
        self._last: tuple[int, Event] | None = None
        self._sent = 0

    @classmethod
    @asynccontextmanager
    async def open(cls, world: World, kind: str, spec: Mapping[str, object]) -> AsyncIterator["Scene"]:
        """A fresh tenant with its readers; the tenant stays, for the cluster ends soon anyway."""
        scene = cls(world, world.fresh(kind), spec)
        await scene.apply()
        await wait_until(scene.known, seconds=KNOWN_SECONDS, what=f"all edges know {scene.tenant}")
        try:
            for guest in scene.guests:
                guest.come()
            yield scene
        finally:
            for guest in scene.guests:
                await guest.leave()

    @property
    def guests(self) -> list[Guest]:
        """All readers."""
        return [*self.present, self.absent]

    async def apply(self) -> None:
        """Make the tenant, or its stream anew."""
        cluster = self._world.cluster
        await apply_tenant(cluster.folder, self.tenant, self._spec, nats_url=",".join(cluster.urls))

    async def known(self) -> bool:
        """Whether every edge knows the tenant. To one that stood still meanwhile it is nobody: 404 ends a reader.

        Who is away will know all tenants before it is ready.
        """
        for edge in self._world.cluster.edges:
            try:
                status, _ = await http_get(edge.port, f"/v1/poll?tenant={self.tenant}")
            except TimeoutError:
                return False
            except OSError:
                continue
            if status == HTTPStatus.NOT_FOUND:
                return False
        return True

    async def publish(self, count: int) -> None:
        """Store so many events, each acknowledged before the next."""
        for item in itertools.islice(self._items, count):
            self._sent += 1
            seq = await self.store(item.event.topic, item.event.name, item.event.data.encode(), f"{self._sent}")
            self.acked[seq] = item.event
            self._last = (seq, item.event)

    async def store(self, topic: str, name: str, data: bytes, id_: str) -> int:
        """Store one event, however often it takes; its number. Raises TimeoutError after 45 s."""
        return await store(self._world, self.tenant, topic, name, data, f"{self.tenant}/{id_}")

    async def seen(self, guests: Sequence[Guest] | None = None) -> None:
        """Wait until these readers have the last event that was stored. Raises TimeoutError."""
        waiting = list(self.guests if guests is None else guests)
        if self._last is None:
            return
        seq, event = self._last

        async def all_have() -> bool:
            return all(guest.has(seq, event) for guest in waiting)

        await wait_until(all_have, seconds=SEEN_SECONDS, what=f"{self.tenant}: all have event {seq}")

    def judge(self, eras: Sequence[Era]) -> None:
        """Add the verdict on all readers to that of the step."""
        for guest in self.guests:
            self._world.verdict.add(judge_eras(guest.reader.history, eras))


async def store(world: World, tenant: str, topic: str, name: str, data: bytes, id_: str) -> int:
    """Store one event over NATS, however often it takes; its number. Raises TimeoutError after 45 s."""
    headers = {"Nats-Msg-Id": id_, "Sse-Event": name}
    stream = world.control.client.jetstream(timeout=ACK_SECONDS)
    async with asyncio.timeout(STORED_SECONDS):
        while True:
            try:
                return (await stream.publish(f"sse.{tenant}.{topic}", data, headers=headers)).seq
            except Error:
                await asyncio.sleep(AGAIN_SECONDS)
