"""One question for many who ask at the same time."""

import asyncio

import pytest

from slipstream.jetstream.latest import Latest


class Oracle:
    """Answers with the number of the question, when it is let."""

    def __init__(self) -> None:
        self.asked = 0
        self.changed = asyncio.Event()
        self.gates: list[asyncio.Future[None]] = []

    async def __call__(self) -> int:
        self.asked += 1
        self.changed.set()
        number = self.asked
        gate = asyncio.get_running_loop().create_future()
        self.gates.append(gate)
        await gate
        return number

    async def questions(self, count: int) -> None:
        while self.asked < count:
            self.changed.clear()
            await self.changed.wait()


async def test_whoever_asks_at_the_same_time_shares_one_question() -> None:
    oracle = Oracle()
    latest = Latest("state", oracle)
    asking = [asyncio.create_task(latest.get()) for _ in range(5)]
    await oracle.questions(1)
    oracle.gates[0].set_result(None)
    assert await asyncio.gather(*asking) == [1] * 5


async def test_no_answer_is_older_than_its_question() -> None:
    oracle = Oracle()
    latest = Latest("state", oracle)
    first = asyncio.create_task(latest.get())
    await oracle.questions(1)
    late = [asyncio.create_task(latest.get()) for _ in range(3)]
    await asyncio.sleep(0)
    assert oracle.asked == 1, "one at a time"
    oracle.gates[0].set_result(None)
    await oracle.questions(2)
    oracle.gates[1].set_result(None)
    assert await first == 1
    assert await asyncio.gather(*late) == [2] * 3


async def test_a_failure_is_for_those_who_asked_and_not_for_the_next() -> None:
    oracle = Oracle()
    latest = Latest("state", oracle)
    first = asyncio.create_task(latest.get())
    await oracle.questions(1)
    second = asyncio.create_task(latest.get())
    await asyncio.sleep(0)
    oracle.gates[0].set_exception(RuntimeError("away"))
    with pytest.raises(RuntimeError, match="away"):
        await first
    await oracle.questions(2)
    oracle.gates[1].set_result(None)
    assert await second == 2


async def test_one_who_leaves_takes_nothing_from_the_others() -> None:
    oracle = Oracle()
    latest = Latest("state", oracle)
    leaving, staying = asyncio.create_task(latest.get()), asyncio.create_task(latest.get())
    await oracle.questions(1)
    leaving.cancel()
    await asyncio.sleep(0)
    oracle.gates[0].set_result(None)
    assert await staying == 1
    assert leaving.cancelled()
