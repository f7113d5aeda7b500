"""A page of the newest events, while the log or its document becomes another one."""

import asyncio
from collections.abc import AsyncGenerator
from typing import cast

import pytest

from slipstream.fanout.page import Patience, page
from slipstream.fanout.payload import Payloads
from slipstream.fanout.replay import Replay
from slipstream.fanout.slots import Slots
from slipstream.fanout.snapshot import Snapshots
from slipstream.fanout.start import Last, Start, start
from slipstream.fanout.tail import Tail
from slipstream.log.budget import Budget
from slipstream.log.ring import Limits
from slipstream.log.source import Source, State
from slipstream.protocol.control import Reason
from slipstream.protocol.errors import SlipstreamError
from slipstream.protocol.event import Record
from slipstream.protocol.topic import Filters
from slipstream.shape.look import PLAIN
from slipstream.shape.shaper import Shaper
from tests.fakes.reactor import FakeReactor

ALL = Filters.parse([">"])
BARE = {frozenset[str](): None}


class Newest:
    """Two lists of the newest events, the second when it is let go."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.gate = asyncio.Event()

    async def snapshot(self, _: Filters) -> AsyncGenerator[list[Record], None]:
        yield [Record(1, 1_000, "a", "", b"1"), Record(2, 1_001, "b", "", b"2")]
        self.asked.set()
        await self.gate.wait()
        yield [Record(3, 1_002, "c", "", b"3")]

    async def prepare(self, records: list[Record]) -> list[Record]:
        return records


async def never(tail: Tail, connection: object) -> None:
    raise AssertionError((tail, connection))


class Pod:
    def __init__(self) -> None:
        self.newest = Newest()
        self.snapshots = Snapshots(1)
        limits = Limits(10, 10_000, 60)
        self.tail = Tail(
            "acme",
            FakeReactor().real,
            Shaper(maskers=BARE),
            limits,
            Budget(10_000),
            Payloads(0),
            heartbeat=1.0,
            chase=never,
        )
        self.tail.restart(State("old00000", 1, 3, 1_002), 3, 1_002, None)

    @property
    def source(self) -> Source:
        return cast("Source", self.newest)

    async def begin(self) -> Start:
        return await start(Last(), self.tail, self.source, self.snapshots, ALL, 100, 2_000, fresh=True)

    async def poll(self, begun: Start) -> list[str]:
        replay = Replay(self.source, Slots(1).of("acme"))
        found = await page(begun, self.tail, replay, ALL, PLAIN, limit=10, patience=Patience(0.0))
        return [event.id.partition("-")[0] for event in found.events]

    def change(self, how: str) -> None:
        if how == "log":
            self.tail.restart(State("new00000", 1, 1, 1_500), 0, None, Reason.reset)
        else:
            self.tail.reshape(Shaper(maskers=BARE))


async def test_it_has_the_newest_of_all_lists() -> None:
    pod = Pod()
    pod.newest.gate.set()
    assert await pod.poll(await pod.begin()) == ["old00000"] * 3


@pytest.mark.parametrize("how", ["log", "document"])
async def test_events_are_not_told_as_those_of_a_log_or_by_a_document_that_came_between_two_lists(how: str) -> None:
    pod = Pod()
    polling = asyncio.create_task(pod.poll(await pod.begin()), name="polling")
    await pod.newest.asked.wait()
    pod.change(how)
    pod.newest.gate.set()
    with pytest.raises(SlipstreamError, match="replaced meanwhile"):
        await polling


@pytest.mark.parametrize("how", ["log", "document"])
async def test_nor_of_one_that_came_before_the_first_list_was_looked_at(how: str) -> None:
    pod = Pod()
    begun = await pod.begin()
    pod.change(how)
    pod.newest.gate.set()
    with pytest.raises(SlipstreamError, match="replaced meanwhile"):
        await pod.poll(begun)
