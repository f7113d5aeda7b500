"""Real events for ever, each stored once, in order, whatever happens to NATS."""

import asyncio
import itertools
from collections.abc import Iterator

import orjson
import pytest

from slipstream.cli.dev.feeder import Feed, run_feed
from slipstream.demo import DemoEvent, earthquakes
from slipstream.protocol.errors import Code, SlipstreamError
from tests.servers import wait_until
from tests.unit.cli.store import MemoryStore

FEW = list(itertools.islice(earthquakes(), 10))


def few() -> Iterator[DemoEvent]:
    return iter(FEW)


async def fed(store: MemoryStore, count: int, told: list[str]) -> Feed:
    """A feed that ran until `count` events were acknowledged."""
    feed = Feed("acme")
    running = asyncio.create_task(run_feed(feed, store, few, 500.0, lambda one: told.append(one.waiting)))

    async def enough() -> bool:
        return feed.acked >= count or running.done()

    await wait_until(enough, seconds=20, what=f"{count} events")
    running.cancel()
    await asyncio.wait({running})
    assert running.cancelled()
    assert feed.first.is_set()
    return feed


async def test_loops_over_the_events_in_order_with_their_names_and_ids() -> None:
    store, told = MemoryStore(), list[str]()
    await fed(store, 25, told)
    twice = [(event["topic"], orjson.dumps(event["data"])) for event in FEW * 2]
    assert store.stored[:20] == twice
    assert store.events[0] == "quake"
    assert store.keys[:10] == [event["id"] for event in FEW]
    assert told == []


async def test_an_event_that_was_not_acknowledged_is_published_again_under_its_id_and_that_is_told_once() -> None:
    away = SlipstreamError(Code.UPSTREAM_UNAVAILABLE, "nobody acked")
    refusals = iter([None, None, away, away])
    store, told = MemoryStore(lambda _: next(refusals, None)), list[str]()
    await fed(store, 5, told)
    assert [topic for topic, _ in store.stored[:5]] == [event["topic"] for event in FEW[:5]]
    assert told == ["nobody acked", ""]


async def test_an_ack_that_got_lost_stores_nothing_twice() -> None:
    class LostAck(MemoryStore):
        lost = False

        async def publish(self, *arguments: object, **options: object) -> object:  # type: ignore[override]
            stored = await super().publish(*arguments, **options)  # type: ignore[arg-type]
            if stored.seq == 3 and not self.lost:
                self.lost = True
                raise SlipstreamError(Code.UPSTREAM_UNAVAILABLE, "nobody acked")
            return stored

    store, told = LostAck(), list[str]()
    await fed(store, 5, told)
    assert [topic for topic, _ in store.stored[:5]] == [event["topic"] for event in FEW[:5]]
    assert store.ids[2] == store.ids[3]


async def test_two_runs_have_different_ids_so_that_the_second_is_not_taken_for_a_retry() -> None:
    one, other = MemoryStore(), MemoryStore()
    for store in (one, other):
        await fed(store, 3, [])
    assert set(one.ids).isdisjoint(other.ids)


async def test_a_fault_of_our_own_ends_it() -> None:
    def broken(data: bytes) -> SlipstreamError | None:
        raise ZeroDivisionError(data)

    with pytest.raises(ZeroDivisionError):
        await run_feed(Feed("acme"), MemoryStore(broken), few, 500.0, lambda _: None)
