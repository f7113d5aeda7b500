"""Each event is published until it is acknowledged, and counted once."""

import asyncio
import itertools
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import nats.errors

from loadtest.payload import Template
from loadtest.producer import Plan, Producer
from loadtest.wire import TIMESTAMP

EVENTS = [Template("flights.A.B", b',"delay":1,"note":"')]


@dataclass
class Log:
    """Acknowledges what `lose` lets through; keeps one event of each id, as JetStream does."""

    lose: set[int] = field(default_factory=set)
    refuse: set[int] = field(default_factory=set)
    tries: list[tuple[str, bytes, str]] = field(default_factory=list)

    async def publish_async(
        self, subject: str, payload: bytes, *, headers: dict[str, str] | None = None
    ) -> asyncio.Future[Any]:
        number = len(self.tries)
        self.tries.append((subject, payload, (headers or {})["Nats-Msg-Id"]))
        if number in self.refuse:
            raise nats.errors.OutboundBufferLimitError
        ack: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if number not in self.lose:
            ack.set_result(None)
        return ack


async def until(wanted: Callable[[], bool]) -> None:
    for _ in range(4_000):
        if wanted():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("not within 20 s")


async def produced(log: Log, events: int, plan: Plan) -> Producer:
    producer = Producer(plan, log, itertools.cycle(EVENTS))
    tasks = [asyncio.create_task(producer.run()), asyncio.create_task(producer.try_again())]
    producer.set_rate(500)
    try:
        await until(lambda: producer.produced.sent >= events)
        producer.set_rate(0)
        await until(lambda: producer.produced.acked == producer.produced.sent)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return producer


def plan(topics: int = 3, sizes: list[tuple[int, float]] | None = None) -> Plan:
    return Plan("nats://x", "acme", topics, sizes or [(200, 1.0)])


async def test_topics_and_sizes_are_drawn_by_chance_and_counted() -> None:
    log = Log()
    producer = await produced(log, 100, plan(sizes=[(200, 3.0), (400, 1.0)]))
    assert sum(producer.counts) == producer.produced.acked == producer.produced.sent
    by_topic = Counter(subject for subject, _, _ in log.tries)
    assert by_topic == {f"sse.acme.load.{number}": count for number, count in enumerate(producer.counts)}
    sizes = Counter(len(payload) for _, payload, _ in log.tries)
    assert set(sizes) == {200, 400}
    assert sizes[200] > sizes[400]
    assert all(payload.startswith(TIMESTAMP) for _, payload, _ in log.tries)


async def test_what_is_not_acknowledged_is_published_again_as_the_same_event() -> None:
    log = Log(lose={3}, refuse={5})
    producer = await produced(log, 20, plan())
    again = Counter(name for _, _, name in log.tries)
    assert sorted(again.values())[-3:] == [1, 2, 2]
    for name, count in again.items():
        assert len({(subject, payload) for subject, payload, other in log.tries if other == name}) == 1, count
    assert producer.produced.acked == producer.produced.sent == len(again) == sum(producer.counts)
    assert producer.produced.again["no acknowledgement within 2 s"] == 1
    assert producer.produced.again.total() == 2


async def test_without_room_it_waits() -> None:
    log = Log(lose=set(range(1000)))
    small = Plan("nats://x", "acme", 1, [(200, 1.0)], in_flight=4)
    producer = Producer(small, log, itertools.cycle(EVENTS))
    task = asyncio.create_task(producer.run())
    producer.set_rate(5000)
    await until(lambda: producer.produced.sent >= 4)
    await asyncio.sleep(0.1)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert producer.produced.sent == 4
