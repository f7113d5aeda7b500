"""Between a tenant's feed and its tail: a bounded buffer in which records wait until the hooks have seen them."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from itertools import islice, takewhile
from typing import Final, NamedTuple

from slipstream.hooks.stage import Stage
from slipstream.log.source import Sink, State
from slipstream.protocol.control import Reason
from slipstream.protocol.errors import Code, SlipstreamError
from slipstream.protocol.event import Record

_logger = logging.getLogger(__name__)

_BATCH: Final = 32
_ROOM_SECONDS: Final = 30.0


class Buffer(NamedTuple):
    """How much may wait for a tenant's hooks: events, and bytes as `Record.size` weighs them. One always may."""

    events: int = 1_000
    size: int = 4 * 1_024 * 1_024


class _Held(NamedTuple):
    """size: what it weighed when it came; what the hooks make of it may weigh more."""

    record: Record
    size: int


class _Restart(NamedTuple):
    state: State
    base: int
    base_time_ms: int | None
    reason: Reason | None


class StagedSink:
    """A `log.source.Sink` in front of another one, which gets the same calls in the same order.

    What the feed says passes at once while nothing waits and no hook is foreign. Else it queues, restarts included:
    what was taken before one was true when it was taken, so it is still delivered before it, as from a faster pod.

    `append` raises asyncio.QueueFull, and has not taken the record, when the buffer is full; the feed has to come back
    with that record after `room()`.
    """

    def __init__(self, sink: Sink, stage: Stage, buffer: Buffer) -> None:
        self._sink = sink
        self._stage = stage
        self._buffer = buffer
        self._queue: deque[_Held | _Restart] = deque()
        self._size = 0
        self._state: State | None = None
        self._filled = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()

    def __len__(self) -> int:
        """How many wait."""
        return len(self._queue)

    def append(self, record: Record) -> None:
        """See `Sink.append`, and the class."""
        if not self._queue and not self._stage.foreign:
            self._sink.append(record)
            return
        limit = self._buffer
        held = _Held(record, record.size)
        if self._queue and (len(self._queue) >= limit.events or self._size + held.size > limit.size):
            self._room.clear()
            raise asyncio.QueueFull
        self._size += held.size
        self._put(held)

    def restart(self, state: State, base: int, base_time_ms: int | None, reason: Reason | None) -> None:
        """See `Sink.restart`. Never refused: one comes with a consumer of the feed, which waits for room first."""
        told = _Restart(state, base, base_time_ms, reason)
        if self._queue:
            self._put(told)
        else:
            self._begin(told)

    async def room(self) -> None:
        """Wait until half of a buffer that was full is free. Raises UPSTREAM_UNAVAILABLE after 30 s."""
        try:
            async with asyncio.timeout(_ROOM_SECONDS):
                await self._room.wait()
        except TimeoutError as error:
            message = f"the hooks of tenant {self._stage.tenant} are {len(self)} events behind"
            raise SlipstreamError(Code.UPSTREAM_UNAVAILABLE, message, retry_after=1.0) from error

    async def run(self) -> None:
        """Prepare and deliver what waits, for ever."""
        while True:
            await self._filled.wait()
            while self._queue:
                await self._advance()
            self._filled.clear()

    async def _advance(self) -> None:
        first = self._queue[0]
        if isinstance(first, _Restart):
            self._pop()
            self._begin(first)
            return
        waiting = takewhile(lambda one: isinstance(one, _Held), islice(self._queue, _BATCH))
        batch = [one.record for one in waiting if isinstance(one, _Held)]
        try:
            await self._stage.prepare(batch, self._stage.epoch, urgent=True)
        except SlipstreamError as error:
            # The chain was replaced by another one: they are still here, and are shown to that.
            _logger.info("events of tenant %s are shown to its hooks again: %s", self._stage.tenant, error)
            return
        for record in batch:
            # Taken off only now: whoever cancels this finds every record here that the tail has not got.
            self._pop()
            self._deliver(record)

    def _deliver(self, record: Record) -> None:
        try:
            self._sink.append(record)
        except Exception:
            # As in the feed, which would have told it if it had been told.
            _logger.exception("event %d of %s failed in this process", record.seq, self._stage.tenant)
            if self._state is not None:
                self._sink.restart(self._state, record.seq, record.time_ms, Reason.undeliverable)

    def _begin(self, told: _Restart) -> None:
        self._state, self._stage.epoch = told.state, told.state.epoch
        self._sink.restart(*told)

    def _put(self, one: _Held | _Restart) -> None:
        self._queue.append(one)
        self._filled.set()

    def _pop(self) -> None:
        one = self._queue.popleft()
        if isinstance(one, _Held):
            self._size -= one.size
        if len(self._queue) <= self._buffer.events // 2 and self._size <= self._buffer.size // 2:
            self._room.set()
