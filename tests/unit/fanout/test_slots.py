"""Places for reads that are waited for, given up and passed on."""

import asyncio

from slipstream.fanout.slots import Slots


async def test_who_gives_up_as_a_place_comes_free_passes_it_on() -> None:
    slots = Slots(1)
    one, other = slots.of("acme"), slots.of("acme")
    await one.acquire()
    waiting = [asyncio.create_task(one.acquire(), name="waiting") for _ in range(2)]
    await asyncio.sleep(0)
    for task in waiting:
        task.cancel()
    one.release()
    assert [type(end) for end in await asyncio.gather(*waiting, return_exceptions=True)] == [asyncio.CancelledError] * 2
    async with asyncio.timeout(10.0), other:
        assert slots._turns.total == 1
    assert (slots._turns.total, slots._turns._in, slots._turns._waiting) == (0, {}, {})


async def test_a_tenant_has_its_places_however_many_wait_of_another() -> None:
    slots = Slots(2)
    busy = [asyncio.create_task(slots.of("busy").acquire(), name="busy") for _ in range(10)]
    await asyncio.sleep(0)
    assert slots._turns.held("busy") == 2
    async with asyncio.timeout(10.0), slots.of("quiet"):
        assert slots._turns.total == 3
    for task in busy:
        task.cancel()
    await asyncio.gather(*busy, return_exceptions=True)
