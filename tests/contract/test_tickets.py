"""One ticket, several processes, a real nats-server: who comes first alone gets in, and all have one key a day."""

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import orjson
import pytest

from slipstream.auth.ticket import KEY_BYTES, LIFE, SKEW
from slipstream.jetstream.kv import Kv
from slipstream.jetstream.subjects import TICKETS_BUCKET
from slipstream.jetstream.tickets import SPENT_SECONDS, Tickets
from slipstream.protocol.errors import Code, SlipstreamError
from tests.contract.pod import Pod, freeze
from tests.servers import NatsServer

STREAM = f"KV_{TICKETS_BUCKET}"
DAY = 20_781


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@asynccontextmanager
async def processes(nats: NatsServer, count: int) -> AsyncIterator[list[tuple[Pod, Tickets]]]:
    """So many processes, and no bucket before or after."""
    async with AsyncExitStack() as stack:
        pods = [await stack.enter_async_context(Pod(nats.url, f"pod-{number}")) for number in range(count)]
        made = [(pod, Tickets(pod.api)) for pod in pods]
        try:
            yield made
        finally:
            for _, tickets in made:
                await tickets.close()
            if nats.alive:
                await pods[0].api.call(f"STREAM.DELETE.{STREAM}")


def requests(pod: Pod) -> int:
    """How many messages the API connection has sent."""
    return int(pod.link.client.stats["out_msgs"])


async def test_all_processes_have_one_key_a_day_whoever_makes_it(nats: NatsServer) -> None:
    async with processes(nats, 4) as made:
        keys = await asyncio.gather(*(tickets.key(DAY) for _, tickets in made for _ in range(5)))
        assert len(set(keys)) == 1
        assert len(keys[0]) == KEY_BYTES
        assert await made[0][1].key(DAY + 1) != keys[0]
        (pod, tickets), asked = made[0], requests(made[0][0])
        assert await tickets.key(DAY) == keys[0]
        assert requests(pod) == asked, "a key that is known is asked for again"
        late = Tickets(pod.api)
        assert await late.key(DAY) == keys[0]
        assert requests(pod) == asked + 1


async def test_a_crowd_that_needs_the_key_asks_once(nats: NatsServer) -> None:
    async with processes(nats, 1) as ((pod, tickets),):
        await tickets.key(DAY)
        asked = requests(pod)
        other = Tickets(pod.api)
        await asyncio.gather(*(other.key(DAY) for _ in range(200)))
        assert requests(pod) == asked + 1


async def test_of_all_who_show_one_ticket_exactly_one_gets_in(nats: NatsServer) -> None:
    async with processes(nats, 3) as made:
        await made[0][1].key(DAY)
        for number in range(20):
            ticket = f"{number:032x}"
            let_in = await asyncio.gather(*(tickets.spend(ticket) for _, tickets in made for _ in range(3)))
            assert sum(let_in) == 1
            assert not any(await asyncio.gather(*(tickets.spend(ticket) for _, tickets in made)))


async def test_a_second_try_asks_nobody_once_its_fate_is_known(nats: NatsServer) -> None:
    async with processes(nats, 2) as ((_, one), (pod, other)):
        await one.key(DAY)
        assert await one.spend("a" * 32)
        assert not await other.spend("a" * 32)
        asked = requests(pod)
        assert not any([await other.spend("a" * 32) for _ in range(50)])
        assert requests(pod) == asked


async def test_what_is_remembered_is_bounded(nats: NatsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slipstream.jetstream.tickets._REMEMBERED", 10)
    async with processes(nats, 1) as ((_, tickets),):
        await tickets.key(DAY)
        assert all([await tickets.spend(f"{number:032x}") for number in range(15)])
        assert len(tickets._tries) == 10
        assert not await tickets.spend(f"{0:032x}"), "NATS knows what is forgotten here"


async def test_an_answer_that_was_lost_does_not_cost_the_ticket(
    nats: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The entry is stored, its acknowledgement is not heard: once, and for the whole first request."""
    create = Kv.create
    lose = 1

    async def deaf(self: Kv, key: str, value: bytes, ttl: int) -> bool:
        nonlocal lose
        answer = await create(self, key, value, ttl)
        if lose:
            lose -= 1
            raise SlipstreamError(Code.UPSTREAM_UNAVAILABLE, "not heard")
        return answer

    async with processes(nats, 2) as ((_, one), (_, other)):
        await one.key(DAY)
        monkeypatch.setattr(Kv, "create", deaf)
        assert await one.spend("b" * 32), "it asks again with the same words"
        lose = 2
        with pytest.raises(SlipstreamError):
            await one.spend("c" * 32)
        assert not await other.spend("c" * 32), "the entry is not the other's"
        assert await one.spend("c" * 32), "the client's next try"
        assert not await one.spend("c" * 32), "and the last"


async def test_a_client_that_leaves_while_its_ticket_is_spent_can_come_back(nats: NatsServer) -> None:
    async with processes(nats, 1) as ((_, tickets),):
        await tickets.key(DAY)
        leaving = asyncio.create_task(tickets.spend("d" * 32))
        await asyncio.sleep(0)
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        assert await tickets.spend("d" * 32)


async def test_without_nats_nobody_is_let_in(nats: NatsServer) -> None:
    async with processes(nats, 2) as ((pod, tickets), (_, other)):
        await tickets.key(DAY)
        for one in (tickets, other):
            one._bucket._api.timeout = 0.2
        await freeze(nats)
        try:
            for asking in (tickets.spend("e" * 32), other.key(DAY)):
                with pytest.raises(SlipstreamError) as caught:
                    await asking
                assert caught.value.code is Code.UPSTREAM_UNAVAILABLE
        finally:
            nats.resume()
            pod.api.timeout = 3.0
        assert await tickets.spend("e" * 32), "it was not let in before"


async def test_a_spent_ticket_is_remembered_longer_than_any_clock_takes_it_for_good(nats: NatsServer) -> None:
    assert SPENT_SECONDS > LIFE + 2 * SKEW
    async with processes(nats, 1) as ((pod, tickets),):
        await tickets.key(DAY)
        await tickets.spend("f" * 32)
        lives = {}
        for name in (f"key.{DAY}", f"spent.{'f' * 32}"):
            found = await pod.api.call(f"STREAM.MSG.GET.{STREAM}", {"last_by_subj": f"$KV.{TICKETS_BUCKET}.{name}"})
            lives[name.partition(".")[0]] = found["message"]["hdrs"]
        told = {kind: base64.b64decode(raw).decode() for kind, raw in lives.items()}
        assert f"Nats-TTL: {SPENT_SECONDS}s" in told["spent"]
        assert f"Nats-TTL: {3 * 86_400}s" in told["key"]


@pytest.mark.parametrize("silent", [False, True])
async def test_a_bucket_that_was_removed_is_made_anew_with_other_keys(nats: NatsServer, *, silent: bool) -> None:
    """A server that has just removed it says that nobody is there, or for a moment nothing."""
    async with processes(nats, 2) as ((pod, one), (_, other)):
        clock = Clock()
        late = Tickets(pod.api, clock)
        before = await one.key(DAY)
        assert await other.key(DAY) == await late.key(DAY) == before
        await pod.api.call(f"STREAM.DELETE.{STREAM}")
        hears = f"$KV.{TICKETS_BUCKET}.>" if silent else "nothing"
        listening = await pod.feed_link.client.subscribe(hears)
        await pod.feed_link.client.flush()
        patience, pod.api.timeout = pod.api.timeout, 0.3
        with pytest.raises(SlipstreamError) as caught:
            await one.spend("0" * 32)
        assert caught.value.code is Code.UPSTREAM_UNAVAILABLE
        await listening.unsubscribe()
        await pod.feed_link.client.flush()
        pod.api.timeout = patience
        after = await one.key(DAY)
        assert after != before
        assert await one.spend("0" * 32)
        assert await late.key(DAY) == before, "until it looks again"
        clock.now += 301
        assert await late.key(DAY) == after


async def test_what_is_no_key_is_told_and_not_used(nats: NatsServer) -> None:
    async with processes(nats, 1) as ((pod, tickets),):
        await tickets.key(DAY)
        answer = await pod.api.request(f"$KV.{TICKETS_BUCKET}.key.{DAY + 1}", b"nonsense")
        assert "seq" in orjson.loads(answer)
        with pytest.raises(SlipstreamError, match="no key: remove the bucket"):
            await tickets.key(DAY + 1)


async def test_a_bucket_that_is_full_refuses_and_forgets_no_ticket_that_was_spent(
    nats: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("slipstream.jetstream.tickets._BYTES_MAX", 2_000)
    async with processes(nats, 1) as ((pod, tickets),):
        before = await tickets.key(DAY)
        config = (await pod.api.call(f"STREAM.INFO.{STREAM}"))["config"]
        assert (config["max_bytes"], config["discard"]) == (2_000, "new")
        told = await asyncio.gather(*(tickets.spend(f"{number:032x}") for number in range(100)), return_exceptions=True)
        spent = told.count(True)
        assert 5 < spent < 20
        refused = [one for one in told if isinstance(one, SlipstreamError)]
        assert len(refused) == 100 - spent
        assert {one.code for one in refused} == {Code.UPSTREAM_UNAVAILABLE}
        with pytest.raises(SlipstreamError):
            await tickets.spend("f" * 32)
        other = Tickets(pod.api)
        assert await other.key(DAY) == before, "it is still there"
        spent_ones = [f"{number:032x}" for number, one in enumerate(told) if one is True]
        assert not any([await other.spend(one) for one in spent_ones])
        await pod.api.call(f"STREAM.PURGE.{STREAM}", {"filter": f"$KV.{TICKETS_BUCKET}.spent.{spent_ones[0]}"})
        assert await tickets.spend("f" * 32), "once there is room again"
