"""One run: cluster, load, readers and nemesis together, then the judgement."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from tests.faults.cluster import COPIES, HEARTBEAT_SECONDS, Cluster
from tests.faults.control import Control
from tests.faults.load import TENANTS, Load, LoadBook
from tests.faults.nemesis import Nemesis
from tests.faults.plan import Orders
from tests.faults.population import watchers
from tests.faults.readers import WatchedReader
from tests.faults.result import Result, windows
from tests.faults.world import World
from tests.proof.chaos import watch
from tests.proof.checker import History, Log, judge
from tests.proof.frames import FrameError
from tests.proof.reader import RefusedError, Tally
from tests.servers import HOST, ServerError, apply_tenant, wait_until

JOIN_SECONDS = 30.0
WARM_SECONDS = 2.0
SETTLE_SECONDS = 45.0
LINGER_SECONDS = HEARTBEAT_SECONDS / 2
"""How long the readers go on after the last expected event, to catch one too many."""
PROGRESS_SECONDS = 0.5
AGAIN_SECONDS = 1.0
PROBLEMS = 50
APPLIES = 3
SPEC: Mapping[str, object] = {"replicas": COPIES, "retention": {"max_bytes": "256MiB"}}

Show = Callable[[float, str], None]
Told = Callable[[str], None]


async def run(orders: Orders, folder: Path, show: Show, told: Told) -> Result:
    """Carry out the orders. Raises an ExceptionGroup when the run cannot be judged."""
    cluster = Cluster(folder)
    books = {tenant: LoadBook() for tenant in TENANTS}
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(cluster.nats())
        control = await Control.connect(cluster.urls)
        stack.push_async_callback(control.close)
        # It answers once the nodes have elected who leads them all.
        await control.streams()
        for tenant in TENANTS:
            await _apply(folder, tenant, ",".join(cluster.urls), told)
        await _replicate(control, told)
        await stack.enter_async_context(cluster.serving())
        await _replicate(control, told)
        over = [f"http://{HOST}:{cluster.caddy.port}", *(edge.url for edge in cluster.edges)]
        load = await stack.enter_async_context(Load.connected(orders.seed, cluster.urls, over, books))
        tally = Tally()
        world = World(cluster, control, books, watchers(cluster, books, tally, orders.seed), load)
        return await _Run(orders, world, Nemesis(world, orders, told), tally, show).run()


async def _apply(folder: Path, tenant: str, urls: str, told: Told) -> None:
    """A cluster that was just born may need longer than the command waits: it is told, and tried again."""
    for _ in range(APPLIES - 1):
        try:
            await apply_tenant(folder, tenant, SPEC, nats_url=urls)
        except ServerError as error:
            told(str(error))
        else:
            return
    await apply_tenant(folder, tenant, SPEC, nats_url=urls)


async def _replicate(control: Control, told: Told) -> None:
    """Every stream gets three copies, those of the tenants' documents and the leases too."""
    streams = await control.streams()
    for stream in streams:
        if await control.replicate(stream, COPIES):
            told(f"{stream} was made with fewer than {COPIES} copies")
    await control.until_whole(streams)


class _Run:
    def __init__(self, orders: Orders, world: World, nemesis: Nemesis, tally: Tally, show: Show) -> None:
        self.orders = orders
        self.world = world
        self.nemesis = nemesis
        self.tally = tally
        self.show = show
        self.go = asyncio.Event()
        self.began = time.monotonic()
        self.result = Result(orders.seed, readers=len(world.readers))

    async def run(self) -> Result:
        world = self.world
        async with asyncio.TaskGroup() as group:
            background = [
                group.create_task(watch(world.cluster.servers, world.planned), name="watch"),
                group.create_task(self._progress(), name="progress"),
                *(group.create_task(self._read(reader), name=reader.plan.name) for reader in world.readers),
            ]
            await wait_until(self._early_ready, seconds=JOIN_SECONDS, what="readers connected")
            loading = group.create_task(world.load.run(), name="load")
            await asyncio.sleep(WARM_SECONDS)
            self.go.set()
            await wait_until(self._all_ready, seconds=JOIN_SECONDS, what="late readers connected")
            await self.nemesis.run()
            world.load.stop()
            await loading
            await self._settle()
            for task in background:
                task.cancel()
        done = {kind for one in self.nemesis.injections for kind in one.step.kinds}
        self.result.missed = sorted({kind for step in self.orders.plan for kind in step.kinds} - done)
        return self._judge()

    async def _read(self, reader: WatchedReader) -> None:
        """An edge that refuses for good, or writes what it must not, is a finding; the reader comes back."""
        if not reader.plan.early:
            await self.go.wait()
        while True:
            try:
                await reader.run()
            except (RefusedError, FrameError) as error:
                if len(self.result.problems) < PROBLEMS:
                    self.result.problems.append(f"{reader.plan.name}, during {self.nemesis.now}: {error}")
                await asyncio.sleep(AGAIN_SECONDS)

    async def _early_ready(self) -> bool:
        return all(reader.is_ready for reader in self.world.readers if reader.plan.early)

    async def _all_ready(self) -> bool:
        return all(reader.is_ready for reader in self.world.readers)

    async def _settle(self) -> None:
        """Wait until every reader has the last event it is promised. A reader that never gets there is judged so."""
        self.nemesis.now = "settling"
        for reader in self.world.readers:
            reader.cutting = False
        behind = {one: self.world.books[one.plan.tenant].last_match(one.plan.filters) for one in self.world.readers}

        async def complete() -> bool:
            return all(reader.last_seq >= last for reader, last in behind.items())

        try:
            await wait_until(complete, seconds=SETTLE_SECONDS, what="all readers complete")
        except TimeoutError as error:
            self.result.problems.append(str(error))
        await asyncio.sleep(LINGER_SECONDS)

    def _judge(self) -> Result:
        result, books = self.result, self.world.books
        result.injections = self.nemesis.injections
        for one in result.injections:
            result.verdict.add(one.verdict)
        for tenant, book in books.items():
            log = book.log([other for name, other in books.items() if name != tenant])
            bounds = [one.bounds[tenant] for one in result.injections]
            for reader in (*self.world.readers, *self.world.visitors):
                if reader.plan.tenant != tenant:
                    continue
                verdict = judge(reader.history, log)
                result.got[reader.kind] += verdict.deliveries
                result.verdict.add(verdict)
                self._attribute(windows(reader.history, bounds), log)
            result.events += len(book.acked)
            result.unknown += len(book.unknown)
            # A number without an acknowledgement is an event that was stored twice, if nothing is unknown.
            holes = [] if book.unknown else book.holes()
            result.broken += len(book.broken) + len(holes)
            result.problems += [f"{tenant}: {text}" for text in book.broken[:5]]
            result.problems += [f"{tenant}: number {seq} was acknowledged for nothing" for seq in holes[:5]]
        return result

    def _attribute(self, parts: Sequence[History], log: Log) -> None:
        for part, one in zip(parts, self.result.injections, strict=False):
            verdict = judge(part, log)
            verdict.examples.clear()  # The whole history has told them.
            one.verdict.add(verdict)

    async def _progress(self) -> None:
        while True:
            acked = sum(len(book.acked) for book in self.world.books.values())
            pauses = [one.client_pause for one in self.nemesis.injections]
            self.show(
                time.monotonic() - self.began,
                f"step {len(pauses)}: {self.nemesis.now}; {acked:,} events, {self.tally.deliveries:,} deliveries, "
                f"{self.tally.resumes:,} resumes, longest pause {max(pauses, default=0.0):.1f} s",
            )
            await asyncio.sleep(PROGRESS_SECONDS)
