"""Whole answers of a source, for tests that compare them."""

import time
from collections.abc import Awaitable

import pytest

from slipstream.jetstream.source import JetStreamSource
from slipstream.protocol.errors import SlipstreamError
from slipstream.protocol.event import Record
from slipstream.protocol.topic import Filters
from tests.contract.pod import Pod
from tests.servers import wait_until


async def snapshot(source: JetStreamSource, *topics: str) -> list[list[Record]]:
    return [batch async for batch in source.snapshot(Filters.parse(topics))]


async def no_consumers(pod: Pod, tenant: str) -> None:
    async def none() -> bool:
        return not await pod.consumers(tenant)

    await wait_until(none, seconds=5.0, what="no consumer is left")


async def read_all(source: JetStreamSource, pattern: str = ">", limit: int = 100) -> list[Record]:
    found: list[Record] = []
    while True:
        batch = await source.read(pattern, found[-1].seq if found else 0, limit)
        if not batch.records:
            return found
        found += batch.records


async def refusal(question: Awaitable[object]) -> tuple[SlipstreamError, float]:
    began = time.monotonic()
    with pytest.raises(SlipstreamError) as refused:
        await question
    return refused.value, time.monotonic() - began
