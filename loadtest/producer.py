"""One process that publishes a scenario's events, each until it is acknowledged: `python -m loadtest.producer PLAN`.

PLAN is a JSON object of `Plan`. Commands, one a line on stdin, whose end means stop: `rate EVENTS_PER_SECOND` (0
pauses), `report`, and `account`, a report with the acknowledged events of each topic. Reports are JSON lines on stdout,
one every second and one for each command but `rate`.

An event whose acknowledgement does not come is published again with the same `Nats-Msg-Id` and the time of the first
try: JetStream keeps one of them, and the latency is that of a producer who had to try twice.
"""

from __future__ import annotations

import asyncio
import functools
import itertools
import random
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, Final, Protocol

import nats
import nats.errors
import orjson

from loadtest.payload import Template, templates
from loadtest.publisher import Schedule, changed_within, obey
from loadtest.roamed import Produced, ProducerReport
from loadtest.subscriptions import topic
from loadtest.tally import write
from slipstream.demo import flights

_ACK_SECONDS: Final = 2.0
_AGAIN_SECONDS: Final = 0.1
_CONNECT_SECONDS: Final = 10.0
_RECONNECT_SECONDS: Final = 0.1
_SEED: Final = 7


@dataclass(frozen=True, slots=True)
class Plan:
    """What the producer does.

    topics: how many there are; sizes: bytes of a payload and the weight of that size; in_flight: most publishes
    without an acknowledgement, beyond which it waits.
    """

    url: str
    tenant: str
    topics: int
    sizes: list[tuple[int, float]]
    in_flight: int = 1000


class Target(Protocol):
    """Where events go: JetStream, or what has the method of its client that is used here."""

    async def publish_async(
        self, subject: str, payload: bytes, *, headers: dict[str, str] | None = None
    ) -> asyncio.Future[Any]:
        """Send one event; what is returned is done when it was acknowledged."""


@dataclass(slots=True)
class _Event:
    """topic: its number; due: when it is published again, unless it is acknowledged before."""

    topic: int
    subject: str
    payload: bytes
    headers: dict[str, str]
    due: float = 0.0
    ack: asyncio.Future[Any] | None = None


class Producer:
    """Publishes by the schedule of the moment; `produced` is what came of it, `counts` that of each topic."""

    def __init__(self, plan: Plan, target: Target, events: Iterator[Template]) -> None:
        self._plan = plan
        self._target = target
        self._events = events
        self._dice = random.Random(_SEED)
        self._run = f"{time.time_ns():x}"
        self._sizes = [size for size, _ in plan.sizes]
        self._weights = list(itertools.accumulate(weight for _, weight in plan.sizes))
        self._schedule: Schedule | None = None
        self._changed = asyncio.Event()
        self._open: dict[int, _Event] = {}
        self._room = asyncio.Event()
        self._room.set()
        self.produced = Produced()
        self.counts = [0] * plan.topics

    def set_rate(self, rate: float) -> None:
        """Events a second from now on; 0 pauses."""
        self._schedule = Schedule(rate, time.monotonic()) if rate > 0 else None
        self._changed.set()

    async def run(self) -> None:
        """Publish for ever; while nothing is acknowledged and all room is taken, wait."""
        while True:
            wait = self._schedule.wait(time.monotonic()) if self._schedule else None
            if wait is None or wait > 0:
                self._changed.clear()
                await changed_within(self._changed, wait)
            elif not self._room.is_set():
                await changed_within(self._room, _AGAIN_SECONDS)
            elif self._schedule:
                self.produced.late += self._schedule.sent(time.monotonic())
                await self._publish(self._next())

    async def try_again(self) -> None:
        """For ever, publish again what is not acknowledged in time."""
        while True:
            now = time.monotonic()
            for number, event in list(self._open.items()):
                if event.due <= now and number in self._open:
                    if event.ack is not None and not event.ack.done():
                        self.produced.again[f"no acknowledgement within {_ACK_SECONDS:g} s"] += 1
                        event.ack.cancel()
                    await self._send(number, event)
            await asyncio.sleep(_AGAIN_SECONDS)

    def _next(self) -> _Event:
        number = self._dice.randrange(self._plan.topics)
        (size,) = self._dice.choices(self._sizes, cum_weights=self._weights)
        payload = next(self._events).stamped(time.monotonic_ns(), size)
        headers = {"Nats-Msg-Id": f"{self._run}-{self.produced.sent}"}
        return _Event(number, f"sse.{self._plan.tenant}.{topic(number)}", payload, headers)

    async def _publish(self, event: _Event) -> None:
        number = self.produced.sent
        self.produced.sent += 1
        self._open[number] = event
        if len(self._open) >= self._plan.in_flight:
            self._room.clear()
        await self._send(number, event)

    async def _send(self, number: int, event: _Event) -> None:
        event.due = time.monotonic() + _ACK_SECONDS
        try:
            event.ack = await self._target.publish_async(event.subject, event.payload, headers=event.headers)
        except nats.errors.Error as error:
            self.produced.again[_named(error)] += 1
            event.due = time.monotonic() + _AGAIN_SECONDS
            return
        event.ack.add_done_callback(functools.partial(self._acknowledged, number, event))

    def _acknowledged(self, number: int, event: _Event, ack: asyncio.Future[Any]) -> None:
        if ack.cancelled():
            return
        if error := ack.exception():
            self.produced.again[_named(error)] += 1
            event.due = time.monotonic() + _AGAIN_SECONDS
        elif self._open.pop(number, None):
            self.produced.acked += 1
            self.counts[event.topic] += 1
            self._room.set()


def _named(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"[:120]


def _report(producer: Producer, reports: BinaryIO, *, asked: bool, account: bool = False) -> None:
    producer.produced.cpu_seconds = time.process_time()
    counts = producer.counts if account else []
    write(ProducerReport(time.monotonic_ns(), asked, producer.produced, counts), reports)


async def produce(target: Target, plan: Plan, reports: BinaryIO) -> None:
    """Publish as the commands on stdin say, until they end."""
    producer = Producer(plan, target, itertools.cycle(templates(flights())))
    _report(producer, reports, asked=False)
    answers = {
        "": lambda: _report(producer, reports, asked=False),
        "report": lambda: _report(producer, reports, asked=True),
        "account": lambda: _report(producer, reports, asked=True, account=True),
    }
    tasks = {
        asyncio.create_task(producer.run(), name="publish"),
        asyncio.create_task(producer.try_again(), name="try again"),
        asyncio.create_task(obey(producer.set_rate, answers), name="commands"),
    }
    done, left = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in left:
        task.cancel()
    for task in done:
        task.result()


async def _main(plan: Plan, reports: BinaryIO) -> None:
    connection = await nats.connect(
        plan.url,
        connect_timeout=_CONNECT_SECONDS,
        max_reconnect_attempts=-1,
        reconnect_time_wait=_RECONNECT_SECONDS,
        error_cb=_told,
    )
    try:
        await produce(connection.jetstream(publish_async_max_pending=2 * plan.in_flight), plan, reports)
    finally:
        await connection.close()


async def _told(error: Exception) -> None:
    """A lost connection is a part of some scenarios: it goes to the log of this process."""
    print(_named(error), file=sys.stderr)


def main(arguments: list[str]) -> int:
    """Entry point of the process."""
    asyncio.run(_main(Plan(**orjson.loads(arguments[0])), sys.stdout.buffer))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
