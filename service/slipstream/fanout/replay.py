"""Reads from the durable stream for readers that the ring does not cover: shared, bounded, few in flight.

A pod that comes back meets all its clients at once. Reads of the same filter that begin in the same block of
sequences are one request; its answer serves whoever asks within a second.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from typing import Generic, NamedTuple, TypeVar

from slipstream.fanout.slots import Slot
from slipstream.log.source import Batch, Source, State
from slipstream.log.splice import Fence
from slipstream.resilience.abandoned import abandoned

_BLOCK = 256
_LIMIT = 512
_KEEP = 1.0
_KEPT = 64

K = TypeVar("K")
V = TypeVar("V")


class Shared(Generic[K, V]):
    """Answers to equal questions: one flight at a time each, kept for a second where `lasting(answer)` says so.

    `limit` bounds the flights of all questions together, where there is one.
    """

    def __init__(self, limit: Slot | None, lasting: Callable[[V], bool]) -> None:
        self._limit = limit
        self._lasting = lasting
        self._kept: OrderedDict[K, tuple[float, asyncio.Task[V]]] = OrderedDict()
        self.asked = 0
        self.shared = 0

    async def get(self, key: K, fetch: Callable[[], Awaitable[V]]) -> V:
        """The answer to `key`, from a flight that is under way or was answered lately, else from `fetch()`."""
        now = time.monotonic()
        self.asked += 1
        found = self._kept.get(key)
        if found is not None and (not found[1].done() or now < found[0]):
            self.shared += 1
            return await asyncio.shield(found[1])
        task = asyncio.create_task(self._fly(key, fetch), name=f"read-{key}")
        task.add_done_callback(abandoned)
        self._kept[key] = (float("inf"), task)
        self._kept.move_to_end(key)
        while len(self._kept) > _KEPT and next(iter(self._kept.values()))[1].done():
            self._kept.popitem(last=False)
        return await asyncio.shield(task)

    async def _fly(self, key: K, fetch: Callable[[], Awaitable[V]]) -> V:
        try:
            async with self._limit or nullcontext():
                value = await fetch()
        except BaseException:
            self._kept.pop(key, None)
            raise
        if self._lasting(value) and key in self._kept:
            self._kept[key] = (time.monotonic() + _KEEP, self._kept[key][1])
        else:
            self._kept.pop(key, None)
        return value

    def expire(self) -> None:
        """Let go of the answers that are too old to be given again."""
        now = time.monotonic()
        for key in [key for key, (until, _) in self._kept.items() if until < now]:
            del self._kept[key]

    def forget(self, key: K) -> None:
        """The kept answer to `key` is of no use: ask again next time."""
        self._kept.pop(key, None)


class Page(NamedTuple):
    """A piece of history, and the stream's state as it was after the piece was read.

    Whatever `state.first_seq` says is gone may have been gone before the read.

    """

    batch: Batch
    state: State


class Replay:
    """Reads one tenant's history. `limit`: its part of what the pod reads at once."""

    def __init__(self, source: Source, limit: Slot) -> None:
        self._source = source
        self._limit = limit
        # A page that ends at the end of the stream is old the next moment.
        self._pages: Shared[tuple[str, int, int], Page] = Shared(None, lambda page: page.batch.pending > 0)
        self._fences: Shared[tuple[str, int], Fence] = Shared(limit, lambda _: True)

    @property
    def requests(self) -> tuple[int, int]:
        """How many reads were asked for, and how many of them another one's answer served."""
        return self._pages.asked, self._pages.shared

    def expire(self) -> None:
        """Let go of history that nobody asked for lately."""
        self._pages.expire()
        self._fences.expire()

    async def page(self, pattern: str, after: int, incarnation: int) -> Page:
        """Records that match the one filter `pattern`, from the block that `after` lies in on, in ascending order.

        The first of them may be at or before `after`. Where a block is so dense that the page ends before `after`,
        the page begins right after it.
        """
        block = after - after % _BLOCK
        page = await self._pages.get((pattern, block, incarnation), lambda: self._fetch(pattern, block))
        if page.batch.pending and page.batch.records and page.batch.records[-1].seq <= after:
            page = await self._pages.get((pattern, after, incarnation), lambda: self._fetch(pattern, after))
        return page

    async def fence(self, pattern: str, cursor: int, head: int, incarnation: int) -> Fence:
        """Where the replay of `pattern` ends for a reader at `cursor`; `head` is the ring's last before this call."""

        async def ask() -> Fence:
            return Fence(await self._source.last_match(pattern), head, await self._source.state())

        key = (pattern, incarnation)
        fence = await self._fences.get(key, ask)
        if fence.head <= cursor:
            # Made before the ring was trimmed past this reader.
            self._fences.forget(key)
            fence = await self._fences.get(key, ask)
        return fence

    async def _fetch(self, pattern: str, after: int) -> Page:
        async with self._limit:
            batch = await self._source.read(pattern, after, _LIMIT)
            state = await self._source.state()
        # Not one of the pod's few reads any more: what takes its time here is this tenant's alone.
        ready = await self._source.prepare(batch.records)
        return Page(Batch(ready, batch.pending + len(batch.records) - len(ready)), state)
