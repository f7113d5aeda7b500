"""The newest event of each topic, for a socket that takes what it takes."""

import asyncio
from collections.abc import AsyncGenerator

from slipstream.fanout.snapshot import Snapshot
from slipstream.protocol.event import Record


class Batches:
    """Two lists; `closed` when nobody wants them any more."""

    def __init__(self) -> None:
        self.closed = False
        self.gate = asyncio.Event()
        self.gate.set()

    async def records(self) -> AsyncGenerator[list[Record], None]:
        try:
            for seqs in ((2, 5), (7, 9)):
                await self.gate.wait()
                yield [Record(seq, 0, "t", "", b"") for seq in seqs]
        finally:
            self.closed = True


async def after(snapshot: Snapshot, cursor: int) -> list[int]:
    return [record.seq for record in await snapshot.after(cursor)]


async def test_a_list_is_given_until_all_of_it_is_out() -> None:
    snapshot = Snapshot(Batches().records())
    assert await after(snapshot, 1) == [2, 5]
    assert await after(snapshot, 1) == [2, 5]
    assert await after(snapshot, 2) == [2, 5]
    assert await after(snapshot, 5) == [7, 9]
    assert await after(snapshot, 7) == [7, 9]
    assert await after(snapshot, 9) == []
    assert await after(snapshot, 9) == []


async def test_a_list_that_the_reader_is_beyond_is_passed_over() -> None:
    assert await after(Snapshot(Batches().records()), 6) == [7, 9]


async def test_one_that_is_not_wanted_any_more_is_closed() -> None:
    batches = Batches()
    snapshot = Snapshot(batches.records())
    await after(snapshot, 1)
    await snapshot.aclose()
    assert batches.closed
    assert await after(snapshot, 5) == []


async def test_it_can_be_closed_from_outside_a_coroutine() -> None:
    batches = Batches()
    snapshot = Snapshot(batches.records())
    await after(snapshot, 1)
    snapshot.close()
    await asyncio.sleep(0.01)
    assert batches.closed


async def test_whoever_waits_for_a_list_closes_it() -> None:
    batches = Batches()
    snapshot = Snapshot(batches.records())
    batches.gate.clear()
    waiting = asyncio.ensure_future(after(snapshot, 1))
    await asyncio.sleep(0)
    snapshot.close()
    assert not [task for task in asyncio.all_tasks() if task.get_name() == "close-snapshot"], "it would fail"
    await asyncio.sleep(0)
    assert not batches.closed
    batches.gate.set()
    assert await waiting == [2, 5]
    await snapshot.aclose()
    assert batches.closed
