"""A tenant that is removed, and comes back while its feed still runs."""

import asyncio
from typing import Any

import pytest

from slipstream.hooks.sink import Buffer, StagedSink
from slipstream.hooks.stages import Stages
from tests.contract.pod import until
from tests.integration.hooks.test_stage import FOREIGN, History, Tail, record, supervised

pytestmark = pytest.mark.usefixtures("installed")


async def test_a_tenant_that_comes_back_is_counted_again_and_one_that_stays_away_leaves_nothing() -> None:
    async with supervised() as supervisor, asyncio.timeout(20.0):
        stages = Stages(supervisor, lambda _: FOREIGN, Buffer())
        dropped = [record(1, event="drop")]
        source = stages.source("acme", History(dropped))

        def begin(_: StagedSink) -> Any:
            return asyncio.Event().wait

        feed = supervisor.start("feed-acme-1", stages.follow("acme", Tail(), begin))
        await until(lambda: stages._stage("acme").holders == 1, "its feed runs")
        await source.prepare(dropped)
        stages.forget("acme")
        assert stages.document() == {}
        await source.prepare([record(2, event="drop")])
        assert stages.document() == {"acme": {"dropped": 2}}
        stages.forget("acme")
        feed.cancel()
        await until(lambda: not supervisor.names, "the feed and its child end")
        assert not stages._stages
