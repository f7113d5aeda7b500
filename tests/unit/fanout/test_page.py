"""How long a page waits. What it brings is tested on real streams (tests/integration/test_publish_poll.py)."""

import asyncio
from typing import cast

import pytest

from slipstream.fanout.page import Patience
from slipstream.fanout.tail import Tail


class Quiet:
    """A tail to which nothing is appended."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()

    async def changed(self, patience: float) -> None:
        self.asked.set()
        await asyncio.sleep(patience)


async def test_whoever_waits_is_woken_by_its_end() -> None:
    quiet, patience = Quiet(), Patience(60)
    waiting = asyncio.create_task(patience.wait(cast("Tail", quiet)), name="waiting")
    await quiet.asked.wait()
    assert not patience.over
    patience.end()
    patience.end()
    async with asyncio.timeout(5):
        await waiting
    patience.end()
    assert patience.over


async def test_whoever_comes_after_its_end_does_not_wait() -> None:
    patience = Patience(60)
    patience.end()
    assert patience.over
    assert Patience(0).over


async def test_it_ends_by_itself() -> None:
    patience = Patience(0.01)
    async with asyncio.timeout(5):
        await patience.wait(cast("Tail", Quiet()))
    assert patience.over


async def test_a_client_that_leaves_ends_the_wait_and_nothing_else() -> None:
    quiet, patience = Quiet(), Patience(60)
    waiting = asyncio.create_task(patience.wait(cast("Tail", quiet)), name="waiting")
    await quiet.asked.wait()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    patience.end()
    assert patience.over
