"""Servers that ask for no wait, callers that have little patience, and a stream that is closed meanwhile."""

import asyncio
import contextlib

import pytest

from slipstream.client import Message, RetryState, Stream
from slipstream.client.retry import MIN_FLOOR_SECONDS
from tests.unit.client.server import frames, reset, serve
from tests.unit.client.test_stream import error, event, fast, position, ready, seqs, take

pytestmark = pytest.mark.timeout(20)

IMPATIENT = 0.01


class Slow:
    """A server that answers when it is told to, with this stream. left: its client closed the connection."""

    def __init__(self, *blocks: str) -> None:
        self._blocks = blocks
        self.answers = asyncio.Event()
        self.asked = asyncio.Event()
        self.left = asyncio.Event()

    async def __call__(self, writer: asyncio.StreamWriter) -> None:
        self.asked.set()
        await self.answers.wait()
        await frames(*self._blocks, end=False)(writer)
        with contextlib.suppress(ConnectionError):
            while True:
                writer.write(b"2\r\n:\n\r\n")
                await writer.drain()
                await asyncio.sleep(0.01)
        self.left.set()


def opening() -> list[asyncio.Task[object]]:
    return [task for task in asyncio.all_tasks() if task.get_name() == "slipstream-client-open"]


async def glance(stream: Stream) -> Message | None:
    """The next message, by a caller that waits for a moment only."""
    try:
        return await asyncio.wait_for(anext(stream), IMPATIENT)
    except TimeoutError:
        return None


async def until_message(stream: Stream) -> Message:
    while True:
        if (message := await glance(stream)) is not None:
            return message


class Watched(RetryState):
    """Keeps how long it let its stream wait each time."""

    waits: list[float]

    def ended(self, now: float, floor: float | None = None, code: str = "") -> float:
        delay = RetryState.ended(self, now, floor, code)
        self.waits.append(delay)
        return delay


@pytest.mark.parametrize("last", ["", error(0), error(-5)], ids=["retry: 0", "error 0", "error -5"])
async def test_a_server_that_ends_each_stream_at_once_is_not_asked_without_a_pause(last: str) -> None:
    script = [frames(ready(number, retry=0), event(number + 1), last) for number in range(20)]
    retry = Watched()
    retry.waits = []
    async with serve(*script) as server, Stream(server.url, retry=retry) as stream:
        assert seqs(await take(stream, 4)) == [1, 2, 3, 4]
        assert retry.waits == [MIN_FLOOR_SECONDS] * 3
        assert len(server.requests) == 4


async def test_a_caller_with_less_patience_than_connecting_takes_gets_its_stream() -> None:
    slow = Slow(ready(0), event(1))
    async with serve(slow) as server, Stream(server.url, retry=fast()) as stream:
        for _ in range(20):
            assert await glance(stream) is None
        assert (len(opening()), len(server.requests)) == (1, 1)
        slow.answers.set()
        assert (await until_message(stream)).id == position(1)
        assert (len(opening()), len(server.requests)) == (0, 1)
        assert (stream.counters.connects, stream.counters.failures) == (1, 0)


async def test_a_failure_that_nobody_waited_for_is_counted_and_followed_by_another_try() -> None:
    async with (
        serve(reset, frames(ready(0), event(1), hold=True)) as server,
        Stream(server.url, retry=fast()) as stream,
    ):
        assert await glance(stream) is None or server.requests
        assert (await until_message(stream)).id == position(1)
        assert (stream.counters.connects, stream.counters.failures) == (1, 1)


async def test_the_wait_for_a_silent_server_is_not_begun_anew_by_each_caller() -> None:
    script = (frames(ready(0, heartbeat_ms=40), event(1), hold=True), frames(ready(1), event(2), hold=True))
    async with serve(*script) as server, Stream(server.url, retry=fast()) as stream:
        await take(stream, 1)
        assert (await until_message(stream)).id == position(2)
        assert server.header(1, "Last-Event-ID") == position(1)


async def test_what_came_while_nobody_asked_is_no_silence() -> None:
    script = (frames(ready(0, heartbeat_ms=10), event(1), event(2), hold=True),)
    async with serve(*script) as server, Stream(server.url, retry=fast()) as stream:
        await take(stream, 1)
        await asyncio.sleep(0.05)  # longer than two and a half heartbeats
        assert seqs(await take(stream, 1)) == [2]
        assert stream.counters.connects == 1


async def test_close_ends_an_attempt_under_way() -> None:
    slow = Slow(ready(0))
    async with serve(slow) as server, Stream(server.url, retry=fast()) as stream:
        waiting = asyncio.create_task(anext(stream), name="waiting")
        await slow.asked.wait()
        stream.close()
        with pytest.raises(StopAsyncIteration):
            await waiting
        slow.answers.set()
        await slow.left.wait()
        assert not opening()


async def test_the_end_of_the_block_ends_an_attempt_that_nobody_waits_for() -> None:
    slow = Slow(ready(0))
    async with serve(slow) as server:
        async with Stream(server.url, retry=fast()) as stream:
            while not slow.asked.is_set():
                assert await glance(stream) is None
        assert not opening()
        slow.answers.set()
        await slow.left.wait()


async def test_close_drops_a_stream_that_was_opened_and_that_nobody_came_for() -> None:
    slow = Slow(ready(0))
    async with serve(slow) as server:
        stream = Stream(server.url, retry=fast())
        while not slow.asked.is_set():
            assert await glance(stream) is None
        (task,) = opening()
        slow.answers.set()
        await asyncio.wait({task})
        stream.close()
        await slow.left.wait()
        with pytest.raises(StopAsyncIteration):
            await anext(stream)
