"""One run: servers, publisher, readers and faults together, then the judgement."""

import asyncio
import random
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.proof import plan
from tests.proof.book import Book
from tests.proof.chaos import DRAIN_SECONDS, Chaos, alternate
from tests.proof.checker import Log, judge
from tests.proof.publisher import NatsPublisher
from tests.proof.reader import Reader, Tally
from tests.proof.result import Result
from tests.servers import Edge, NatsServer, apply_tenant, wait_until

TENANTS = (plan.FLIGHTS, plan.QUAKES)
JOIN_SECONDS = 20.0
FINALE_SECONDS = 20.0
SETTLE_SECONDS = 40.0
LINGER_SECONDS = 0.5
"""How long the readers go on after the last expected event, to catch one too many."""
PROGRESS_SECONDS = 0.25

_SPEC: Mapping[str, object] = {}
_EDGE = {"SLIPSTREAM_HEARTBEAT": "2", "SLIPSTREAM_DRAIN": str(DRAIN_SECONDS)}

Show = Callable[[float, str], None]


async def run(size: plan.Size, folder: Path, show: Show) -> Result:
    """Run once. Raises an ExceptionGroup when the run cannot be judged:

    ServerError in it when a server dies by itself or does not come back, RefusedError when an edge refuses a reader for
    good, TimeoutError when a publish stays unacknowledged.
    """
    nats = NatsServer(folder)
    edges = [Edge(nats.url, folder, name=name, env=_EDGE) for name in ("edge-a", "edge-b")]
    alternate(edges[0])
    async with nats:
        async with asyncio.TaskGroup() as group:
            for tenant in TENANTS:
                group.create_task(apply_tenant(folder, tenant, _SPEC, nats_url=nats.url), name=f"apply {tenant}")
        async with AsyncExitStack() as stack:
            async with asyncio.TaskGroup() as group:
                for edge in edges:
                    group.create_task(stack.enter_async_context(edge), name=f"start {edge.name}")
            return await _Run(size, show, nats, edges).run()


class _Run:
    def __init__(self, size: plan.Size, show: Show, nats: NatsServer, edges: Sequence[Edge]) -> None:
        self.size = size
        self.show = show
        self.nats = nats
        self.tally = Tally()
        self.books = {tenant: Book() for tenant in TENANTS}
        self.bursts = plan.bursts(size)
        ports, texts = [edge.port for edge in edges], dict[str, str]()
        self.readers = [
            Reader(one, ports, self.books[one.tenant], self.tally, texts, size.seed) for one in plan.readers(size)
        ]
        self.chaos = Chaos({server.name: server for server in (nats, *edges)})
        self.faults = plan.faults(size, [edge.name for edge in edges], nats.name)
        self.go = asyncio.Event()
        self.began = time.time()

    async def run(self) -> Result:
        publisher = await NatsPublisher.connect(self.nats.url, self.books)
        try:
            async with asyncio.TaskGroup() as group:
                background = [
                    group.create_task(self.chaos.watch(), name="watch"),
                    group.create_task(self._progress(), name="progress"),
                    *(group.create_task(self._read(one), name=one.plan.name) for one in self.readers),
                ]
                await wait_until(self._early_readers_are_in, seconds=JOIN_SECONDS, what="readers connected")
                self.began = time.time()
                self.go.set()
                body, tail = plan.halves(self.bursts)
                async with asyncio.TaskGroup() as work:
                    work.create_task(publisher.publish(body), name="publisher")
                    work.create_task(self.chaos.run(self.faults), name="faults")
                await self._finale(publisher, tail)
                await self._settle()
                for task in background:
                    task.cancel()
            return await self._judge(publisher)
        finally:
            await publisher.close()

    async def _read(self, reader: Reader) -> None:
        if not reader.plan.early:
            await self.go.wait()
            await asyncio.sleep(reader.plan.joins)
            if reader.plan.since == "time":
                back = random.Random(reader.plan.name).uniform(0.0, time.time() - self.began)
                moment = datetime.now(UTC) - timedelta(seconds=back)
                reader.moment = moment.replace(microsecond=moment.microsecond // 1000 * 1000)
        await reader.run()

    async def _early_readers_are_in(self) -> bool:
        return all(reader.is_ready for reader in self.readers if reader.plan.early)

    async def _finale(self, publisher: NatsPublisher, tail: list[plan.Burst]) -> None:
        """The last events, with both edges up and readers live, so that what shows only then is seen to go wrong.

        Feeds that NATS's death breaks while they deliver, and readers that take nothing while the log runs on.
        """
        slow = [reader for reader in self.readers if reader.plan.slow]
        for reader in slow:
            reader.cutting = False
        await self._complete(FINALE_SECONDS)
        for reader in slow:
            reader.flowing.clear()
        async with asyncio.TaskGroup() as work:
            work.create_task(publisher.publish(tail), name="publisher")
            work.create_task(self.chaos.run([plan.last_fault(self.size, self.nats.name)]), name="faults")
        for reader in slow:
            reader.flowing.set()

    async def _settle(self) -> None:
        """Wait until every reader has the last event it is promised. A reader that never gets there is judged so."""
        for reader in self.readers:
            reader.cutting = False
        await self._complete(SETTLE_SECONDS)
        await asyncio.sleep(LINGER_SECONDS)

    async def _complete(self, seconds: float) -> None:
        """Wait, for so long at most, until every reader has the last event that was acknowledged so far."""
        behind = {reader: self.books[reader.plan.tenant].last_match(reader.plan.filters) for reader in self.readers}

        async def complete() -> bool:
            for reader in [one for one, last in behind.items() if one.is_ready and one.last_seq >= last]:
                del behind[reader]
            return not behind

        try:
            await wait_until(complete, seconds=seconds, what="all readers complete")
        except TimeoutError:
            self.show(time.time() - self.began, f"{len(behind)} readers are not at the end after {seconds:g} s")

    async def _judge(self, publisher: NatsPublisher) -> Result:
        result = Result(self.size.seed, len(self.readers), self.tally)
        for tenant, book in self.books.items():
            log = Log(book.acked)
            for reader in self.readers:
                if reader.plan.tenant != tenant:
                    continue
                if reader.moment is not None:
                    reader.history.start = await publisher.first_since(tenant, reader.moment, book.highest) - 1
                result.expected += len(log.expected(reader.plan.filters, reader.history.start))
                result.verdict.add(judge(reader.history, log))
            result.events += len(book.acked)
            result.broken += len(book.broken) + len(book.holes())
            result.verdict.examples += [f"{tenant}: {text}" for text in book.broken]
        result.retries = publisher.retries
        result.nats_kills = self.chaos.kills[self.nats.name]
        result.edge_drains = self.chaos.drains
        result.edge_kills = self.chaos.kills.total() - result.nats_kills
        return result

    async def _progress(self) -> None:
        total = sum(len(burst.items) for burst in self.bursts)
        while True:
            acked = sum(len(book.acked) for book in self.books.values())
            self.show(
                time.time() - self.began,
                f"{acked:,} of {total:,} events acknowledged, {self.tally.deliveries:,} deliveries, "
                f"{self.chaos.kills.total()} kills, {self.tally.cuts:,} cuts, {self.tally.resumes:,} resumes",
            )
            await asyncio.sleep(PROGRESS_SECONDS)
