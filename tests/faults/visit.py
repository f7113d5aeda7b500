"""Readers that come for one fault and leave with it."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Literal

from tests.faults.poller import Poller
from tests.faults.readers import EVERYTHING, WatchedReader
from tests.faults.world import Violation, World
from tests.process import wait_until
from tests.proof.book import Book
from tests.proof.checker import Delivery, Event, place
from tests.proof.plan import ReaderPlan, Since
from tests.proof.reader import Tally

Kind = Literal["plain", "browser", "gzip", "poll"]

READY_SECONDS = 20.0
ANY = Book(started=1 << 62)
"""The book of a log that is replaced: no place that a reader is told can be judged before the end."""


def reader(
    name: str, tenant: str, ports: Sequence[int], book: Book, *, since: Since = "now", kind: Kind = "plain"
) -> WatchedReader:
    """A reader of everything, that breaks nothing off."""
    plan = ReaderPlan(name, tenant, EVERYTHING, since, True, 0.0, kind == "browser", False, gzip=kind == "gzip")
    reads = Poller if kind == "poll" else WatchedReader
    return reads(plan, ports, book, Tally(), {}, seed=0, first=0)


class Guest:
    """A reader that comes and goes."""

    def __init__(self, reader: WatchedReader) -> None:
        self.reader = reader
        self._task: asyncio.Task[None] | None = None

    def come(self) -> None:
        """Read, from where it stopped."""
        self._task = asyncio.create_task(self.reader.run(), name=self.reader.plan.name)

    async def leave(self) -> None:
        """Stop reading, and forget nothing. Raises what ended it before."""
        task, self._task = self._task, None
        if task is None:
            return
        task.cancel()
        done, _ = await asyncio.wait([task])
        for one in done:
            if not one.cancelled() and (error := one.exception()) is not None:
                raise Violation(f"{self.reader.plan.name}: {error}") from error

    def has(self, seq: int, event: Event) -> bool:
        """Whether the last event that it got is this one, or a later one."""
        items = self.reader.history.items
        last = next((item for item in reversed(items) if isinstance(item, Delivery)), None)
        where = None if last is None else place(last.id)
        return last is not None and where is not None and where[1] == seq and last.data == event.data


@asynccontextmanager
async def visit(world: World, tenant: str, name: str, port: int) -> AsyncIterator[Guest]:
    """A reader of a watched tenant at one edge only, ready when the block begins."""
    guest = Guest(reader(name, tenant, [port], world.books[tenant]))
    world.visitors.append(guest.reader)
    guest.come()

    async def ready() -> bool:
        return guest.reader.is_ready

    try:
        await wait_until(ready, seconds=READY_SECONDS, what=f"{name} reads")
        yield guest
        # What it is promised is what was acknowledged while it was here.
        last = world.books[tenant].highest

        async def caught_up() -> bool:
            return guest.reader.last_seq >= last

        await wait_until(caught_up, seconds=READY_SECONDS, what=f"{name} has all until now")
    finally:
        guest.reader.history.end = guest.reader.last_seq
        await guest.leave()
