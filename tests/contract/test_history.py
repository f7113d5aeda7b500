"""A past that is no longer true: what the feed tells when the stream lost, replaced or evicted what it had taken."""

import shutil
from pathlib import Path

import pytest

from slipstream.jetstream import stream as streams
from slipstream.protocol.control import Reason
from tests.contract.pod import SHAPE, Pod, Recording, flights, running, until
from tests.servers import NatsServer

_SMALL = SHAPE._replace(max_bytes=2_000)


class Store:
    """A server's files, copied aside and put back: what a power failure leaves of a tail that was not yet written."""

    def __init__(self, nats: NatsServer, aside: Path) -> None:
        self._nats = nats
        self._aside = aside / "aside"

    async def keep(self, *pods: Pod) -> None:
        await self._nats.terminate()
        shutil.copytree(self._nats.store, self._aside)
        await self._nats.start()
        await until(lambda: all(pod.link.up and pod.feed_link.up for pod in pods), "the pods are back")

    async def lose_what_came_since(self) -> None:
        """The server is down afterwards."""
        await self._nats.kill()
        shutil.rmtree(self._nats.store)
        shutil.copytree(self._aside, self._nats.store)


async def test_a_lost_tail_is_told_as_ahead(nats: NatsServer, pod: Pod, tenant: str, tmp_path: Path) -> None:
    store = Store(nats, tmp_path)
    follower = pod.follower(tenant, sink := Recording())
    async with running(follower):
        await sink.began()
        await pod.publish(tenant, flights(5))
        await sink.has(5)
        await store.keep(pod)
        await pod.publish(tenant, flights(3))
        await sink.has(8)
        await store.lose_what_came_since()
        await nats.start()
        await until(lambda: len(sink.told) == 2, "the loss is told")
        await pod.publish(tenant, flights(2))
        await sink.has(10)
    assert sink.seqs == [1, 2, 3, 4, 5, 6, 7, 8, 6, 7]
    assert sink.reasons == [None, Reason.ahead]
    told = sink.told[1]
    assert (told.base, told.base_time_ms, told.after) == (5, sink.records[4].time_ms, 8)
    assert told.state.epoch == sink.told[0].state.epoch


@pytest.mark.parametrize("others", [3, 5], ids=["as many others", "more others"])
async def test_numbers_used_again_are_told_as_rewritten(
    nats: NatsServer, pod: Pod, tenant: str, tmp_path: Path, others: int
) -> None:
    """The feed had 8 events, of which 3 are lost and others take their numbers before it looks again."""
    store = Store(nats, tmp_path)
    follower = pod.follower(tenant, sink := Recording())
    async with running(follower):
        await sink.began()
        await pod.publish(tenant, flights(5))
        await sink.has(5)
        await store.keep(pod)
        await pod.publish(tenant, flights(3))
        await sink.has(8)
    await store.lose_what_came_since()
    await nats.start()
    await until(lambda: pod.link.up and pod.feed_link.up, "the pod is back")
    assert await pod.publish(tenant, flights(others)) == 5 + others
    async with running(follower):
        await sink.has(8 + others)
        await pod.publish(tenant, flights(1))
        await sink.has(9 + others)
    assert sink.seqs == [*range(1, 9), *range(6, 7 + others)]
    assert sink.reasons == [None, Reason.rewritten]
    told = sink.told[1]
    assert (told.base, told.after) == (5, 8)


async def test_history_that_expired_while_it_was_away_is_told(pod: Pod, tenant: str) -> None:
    await pod.ensure(tenant, _SMALL)
    follower = pod.follower(tenant, sink := Recording())
    async with running(follower):
        await sink.began()
        await pod.publish(tenant, flights(2))
        await sink.has(2)
    for _ in range(10):
        await pod.put(tenant, "a", b"x" * 400)
    state = await pod.source(tenant).state()
    assert state.first_seq > 4
    async with running(follower):
        await sink.has(2 + 12 - state.first_seq + 1)
    assert sink.seqs == [1, 2, *range(state.first_seq, 13)]
    assert sink.reasons == [None, Reason.expired]
    assert (sink.told[1].base, sink.told[1].base_time_ms, sink.told[1].after) == (state.first_seq - 1, None, 2)


async def test_history_of_which_nothing_was_missed_is_not_told(pod: Pod, tenant: str) -> None:
    """The first retained is the next one."""
    await pod.ensure(tenant, SHAPE._replace(max_age=0.2))
    follower = pod.follower(tenant, sink := Recording())
    async with running(follower):
        await sink.began()
        await pod.publish(tenant, flights(3))
        await sink.has(3)
    source = pod.source(tenant)
    states = [await source.state()]
    while states[-1].first_seq < 4:
        states.append(await source.state())
    await pod.ensure(tenant)
    async with running(follower):
        await pod.publish(tenant, flights(2))
        await sink.has(5)
    assert sink.seqs == [1, 2, 3, 4, 5]
    assert sink.reasons == [None]


async def test_history_that_expires_between_the_look_and_the_consumer_is_told(
    pod: Pod, tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    follower = pod.follower(tenant, sink := Recording())
    async with running(follower):
        await sink.began()
        await pod.publish(tenant, flights(2))
        await sink.has(2)
    for _ in range(10):
        await pod.put(tenant, "a", b"x" * 400)
    locate = follower.feed._locate

    async def locate_then_evict(last: int | None) -> int:
        base = await locate(last)
        await pod.ensure(tenant, _SMALL)
        return base

    monkeypatch.setattr(follower.feed, "_locate", locate_then_evict)
    async with running(follower):
        await until(lambda: 12 in sink.seqs, "it has caught up")
    first = (await pod.source(tenant).state()).first_seq
    assert sink.seqs == [1, 2, *range(first, 13)]
    assert sink.reasons == [None, Reason.expired]
    assert (sink.told[1].base, sink.told[1].after) == (first - 1, 2)


async def test_a_stream_removed_and_made_anew_is_told_as_reset(pod: Pod, tenant: str) -> None:
    follower = pod.follower(tenant, sink := Recording())
    async with running(follower):
        await sink.began()
        await pod.publish(tenant, flights(3))
        await sink.has(3)
    await streams.remove(pod.api, tenant)
    found = await pod.ensure(tenant)
    await pod.publish(tenant, flights(4))
    async with running(follower):
        await sink.has(7)
    assert sink.seqs == [1, 2, 3, 1, 2, 3, 4]
    assert sink.reasons == [None, Reason.reset]
    assert (sink.told[1].state.epoch, sink.told[1].base, sink.told[1].base_time_ms) == (found.state.epoch, 0, None)
