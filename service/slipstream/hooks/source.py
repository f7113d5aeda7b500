"""A tenant's history with its hooks' outcomes: what is read of the stream is prepared before anybody gets it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from typing import Final

from slipstream.hooks.stage import Stage
from slipstream.log.source import Batch, Source, State
from slipstream.protocol.errors import Code, SlipstreamError
from slipstream.protocol.event import Record
from slipstream.protocol.topic import Filters

_SLICE: Final = 8
_ENOUGH_SECONDS: Final = 0.25
_PREPARE_SECONDS: Final = 10.0


class StagedSource:
    """A `log.source.Source` in front of another one.

    A read ends early where the hooks are slow: after a quarter of a second it answers what is prepared by then, so that
    it does not keep one of the pod's few reads of the log from other tenants.
    """

    def __init__(self, source: Source, stage: Stage) -> None:
        self._source = source
        self._stage = stage

    async def state(self) -> State:
        """See `Source.state`."""
        return await self._source.state()

    async def count(self, pattern: str, after: int) -> int:
        """See `Source.count`."""
        return await self._source.count(pattern, after)

    async def last_match(self, pattern: str) -> int:
        """See `Source.last_match`."""
        return await self._source.last_match(pattern)

    async def first_since(self, time_ms: int) -> int | None:
        """See `Source.first_since`."""
        return await self._source.first_since(time_ms)

    async def time_of(self, seq: int) -> int | None:
        """See `Source.time_of`."""
        return await self._source.time_of(seq)

    async def read(self, pattern: str, after: int, limit: int) -> Batch:
        """See `Source.read`."""
        return await self._source.read(pattern, after, limit)

    def snapshot(self, filters: Filters) -> AsyncGenerator[list[Record], None]:
        """See `Source.snapshot`."""
        return self._source.snapshot(filters)

    async def prepare(self, records: list[Record]) -> list[Record]:
        """See `Source.prepare`: each is shown to the hooks, for a quarter of a second and eight records."""
        if not records or not self._stage.foreign:
            return records
        epoch = await self._epoch()
        until = time.monotonic() + _ENOUGH_SECONDS
        ready = 0
        while ready < len(records) and (not ready or time.monotonic() < until):
            await self._prepare(records[ready : ready + _SLICE], epoch)
            ready += _SLICE
        return records[:ready]

    async def _epoch(self) -> str:
        """Of the log that the tail is at: what is read of another one is thrown away there."""
        return self._stage.epoch or (await self._source.state()).epoch

    async def _prepare(self, records: list[Record], epoch: str) -> None:
        try:
            async with asyncio.timeout(_PREPARE_SECONDS):
                await self._stage.prepare(records, epoch)
        except TimeoutError as error:
            message = f"the hooks of tenant {self._stage.tenant} have no time for its history"
            raise SlipstreamError(Code.UPSTREAM_UNAVAILABLE, message, retry_after=2.0) from error
