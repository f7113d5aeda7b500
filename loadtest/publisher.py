"""One process that publishes real flights at a set rate and counts the acknowledgements.

Run as `python -m loadtest.publisher PLAN`, PLAN a JSON object of `Plan`. It takes the commands `rate EVENTS_PER_SECOND`
(0 pauses) and `report`, one a line, on stdin, whose end means stop, and writes JSON lines to stdout: a report every
second, on `report`, and at the end.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO, Final, Protocol

import nats
import nats.errors
import nats.js.errors
import orjson

from loadtest.payload import Template, templates
from loadtest.tally import Published, PublisherReport, write
from slipstream.demo import flights

_ACK_SECONDS: Final = 5.0
_CONNECT_SECONDS: Final = 10.0
_APART_SECONDS: Final = 0.002
_CATCH_UP_SECONDS: Final = 0.5


@dataclass(frozen=True, slots=True)
class Plan:
    """What the publisher does.

    size: bytes of a payload; in_flight: most publishes without an acknowledgement, beyond which it waits.
    """

    url: str
    tenant: str
    size: int = 170
    in_flight: int = 1000


class Target(Protocol):
    """Where events go: JetStream, or what has the two methods of its client that are used here."""

    async def publish_async(self, subject: str, payload: bytes) -> asyncio.Future[Any]:
        """Send one event; what is returned is done when it was acknowledged."""

    async def publish_async_completed(self) -> Any:
        """Return when nothing waits for its acknowledgement any more."""


class Schedule:
    """When each event is due: a fixed grid that is caught up with after a short delay and laid anew after a long one.

    Catching up goes at twice the rate, so that a rate of 200 a second means separate events, never two at once. Above
    500 a second, what is due goes at once: the loop's timers count in milliseconds.
    """

    def __init__(self, rate: float, now: float) -> None:
        self._interval = 1 / rate
        self._apart = self._interval / 2 if self._interval >= _APART_SECONDS else 0.0
        self._due = now
        self._earliest = now

    def wait(self, now: float) -> float:
        """Seconds until the next event is to go; 0 or less means now."""
        return max(self._due, self._earliest) - now

    def sent(self, now: float) -> bool:
        """The next event goes out now. Returns whether the grid was laid anew, which lowers the rate."""
        late = now - self._due > max(self._interval, _CATCH_UP_SECONDS)
        self._due = (now if late else self._due) + self._interval
        self._earliest = now + self._apart
        return late


class Publisher:
    """Publishes by the schedule of the moment; `published` is what came of it."""

    def __init__(self, plan: Plan, target: Target, events: Iterator[Template]) -> None:
        self._plan = plan
        self._target = target
        self._events = events
        self._schedule: Schedule | None = None
        self._changed = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._unacked = 0
        self.published = Published()

    def set_rate(self, rate: float) -> None:
        """Events a second from now on; 0 pauses."""
        self._schedule = Schedule(rate, time.monotonic()) if rate > 0 else None
        self._changed.set()

    async def run(self) -> None:
        """Publish for ever. Raises TimeoutError when nothing was acknowledged for 5 s with all room taken."""
        while True:
            schedule = self._schedule
            wait = schedule.wait(time.monotonic()) if schedule else None
            if wait is None or wait > 0:
                self._changed.clear()
                await changed_within(self._changed, wait)
            elif schedule:
                await self._publish(schedule)

    async def _publish(self, schedule: Schedule) -> None:
        if not self._room.is_set():
            async with asyncio.timeout(_ACK_SECONDS):
                await self._room.wait()
            return  # The rate may have changed meanwhile.
        event = next(self._events)
        self.published.late += schedule.sent(time.monotonic())
        self.published.sent += 1
        self._unacked += 1
        if self._unacked >= self._plan.in_flight:
            self._room.clear()
        payload = event.stamped(time.monotonic_ns(), self._plan.size)
        ack = await self._target.publish_async(f"sse.{self._plan.tenant}.{event.topic}", payload)
        ack.add_done_callback(self._acknowledged)

    def _acknowledged(self, ack: asyncio.Future[Any]) -> None:
        self._unacked -= 1
        self._room.set()
        if ack.cancelled():
            self.published.failed["cancelled"] += 1
        elif error := ack.exception():
            self.published.failed[f"{type(error).__name__}: {error}"[:120]] += 1
        else:
            self.published.acked += 1

    async def settle(self) -> None:
        """Wait for the last acknowledgements, at most 5 s; what is still open then is counted as failed."""
        try:
            async with asyncio.timeout(_ACK_SECONDS):
                await self._target.publish_async_completed()
        except TimeoutError:
            self.published.failed[f"no acknowledgement within {_ACK_SECONDS:g} s"] += self._unacked


async def changed_within(event: asyncio.Event, seconds: float | None) -> None:
    """Wait for the event, or for so many seconds."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return


async def commands() -> asyncio.StreamReader:
    """What stands on stdin, line by line."""
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    return reader


async def obey(
    set_rate: Callable[[float], None], answers: Mapping[str, Callable[[], None]], *, rated: str = "rate"
) -> None:
    """Follow the commands until they end: `rate PER_SECOND`, or what `rated` says, and the words of `answers`.

    The answer to the empty word is given by itself, every second in which no command comes.
    """
    given = await commands()
    while True:
        try:
            async with asyncio.timeout(1.0):
                line = (await given.readline()).decode().split()
        except TimeoutError:
            answers[""]()
            continue
        match line:
            case [word, rate] if word == rated:
                set_rate(float(rate))
            case [word] if word in answers:
                answers[word]()
            case []:
                return
            case _:
                raise ValueError(f"{line} is no command: {rated} PER_SECOND, {', '.join(filter(None, answers))}")


def _report(publisher: Publisher, reports: BinaryIO, *, asked: bool) -> None:
    publisher.published.cpu_seconds = time.process_time()
    write(PublisherReport(time.monotonic_ns(), asked, publisher.published), reports)


async def publish_to(target: Target, plan: Plan, reports: BinaryIO) -> None:
    """Publish as the commands on stdin say, until they end, and settle what is under way."""
    publisher = Publisher(plan, target, itertools.cycle(templates(flights())))
    _report(publisher, reports, asked=False)
    publishing = asyncio.create_task(publisher.run(), name="publish")
    answers = {
        "": lambda: _report(publisher, reports, asked=False),
        "report": lambda: _report(publisher, reports, asked=True),
    }
    obeying = asyncio.create_task(obey(publisher.set_rate, answers), name="commands")
    done, _ = await asyncio.wait({publishing, obeying}, return_when=asyncio.FIRST_COMPLETED)
    publishing.cancel()
    obeying.cancel()
    await publisher.settle()
    _report(publisher, reports, asked=False)
    for task in done:
        task.result()


async def _main(plan: Plan, reports: BinaryIO) -> None:
    connection = await nats.connect(plan.url, connect_timeout=_CONNECT_SECONDS, allow_reconnect=False)
    try:
        await publish_to(connection.jetstream(publish_async_max_pending=plan.in_flight), plan, reports)
    finally:
        await connection.close()


def main(arguments: list[str]) -> int:
    """Entry point of the process."""
    asyncio.run(_main(Plan(**orjson.loads(arguments[0])), sys.stdout.buffer))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
