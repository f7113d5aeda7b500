"""The stages of all tenants: what the composition root puts between the streams and the fan-out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from slipstream.hooks.sink import Buffer, StagedSink
from slipstream.hooks.source import StagedSource
from slipstream.hooks.stage import Setup, Stage
from slipstream.log.source import Sink, Source
from slipstream.resilience.supervise import Supervisor

Run = Callable[[], Coroutine[Any, Any, None]]


class Stages:
    """`setup_of(tenant)` says how its events are shaped now; it is asked for each event, and must be cheap."""

    def __init__(self, supervisor: Supervisor, setup_of: Callable[[str], Setup], buffer: Buffer) -> None:
        self._supervisor = supervisor
        self._setup_of = setup_of
        self._buffer = buffer
        self._stages: dict[str, Stage] = {}

    def source(self, tenant: str, source: Source) -> Source:
        """The tenant's source, whose records are prepared."""
        return StagedSource(source, self._stage(tenant))

    def follow(self, tenant: str, sink: Sink, begin: Callable[[StagedSink], Run]) -> Run:
        """What to run to feed `sink` through the tenant's stage; `begin(staged)` answers what feeds the staged sink.

        The child ends with the last of the tenant's feeds.
        """
        stage = self._stage(tenant)
        staged = StagedSink(sink, stage, self._buffer)
        feed = begin(staged)

        async def run() -> None:
            stage.holders += 1
            self._stages[tenant] = stage
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(feed(), name=f"follow-{tenant}")
                    group.create_task(staged.run(), name=f"stage-{tenant}")
            finally:
                stage.holders -= 1
                if not stage.holders:
                    stage.leave()
                    if not stage.counts:
                        self._stages.pop(tenant, None)

        return run

    def forget(self, tenant: str) -> None:
        """The tenant was removed: its child ends, and its counts are gone.

        A feed goes on for a while: what it counts if the tenant comes back meanwhile must be seen.
        """
        stage = self._stages.get(tenant)
        if stage is not None:
            stage.leave()
            stage.counts.clear()
            if not stage.holders:
                del self._stages[tenant]

    def document(self) -> dict[str, dict[str, int]]:
        """Of each tenant with a foreign chain: how many events were not sent, by cause."""
        return {
            tenant: {cause.value: number for cause, number in stage.counts.items()}
            for tenant, stage in self._stages.items()
            if stage.counts
        }

    def _stage(self, tenant: str) -> Stage:
        stage = self._stages.get(tenant)
        if stage is None:
            stage = Stage(tenant, lambda: self._setup_of(tenant), self._supervisor)
            self._stages[tenant] = stage
        return stage
