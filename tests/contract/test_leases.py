"""Shares of a limit over several processes, on a real nats-server."""

import asyncio
import base64
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from slipstream.jetstream.leases import Leases
from slipstream.jetstream.subjects import LEASES_BUCKET
from slipstream.protocol.errors import Code, SlipstreamError
from slipstream.quotas.grants import subject_key, tenant_key
from tests.contract.pod import Pod, ended, freeze, until
from tests.servers import NatsServer, wait_until

LEASE = 3.0
KEY = tenant_key("acme")
_STREAM = f"KV_{LEASES_BUCKET}"


class Process:
    def __init__(self, pod: Pod) -> None:
        self.pod = pod
        self.leases = Leases(pod.api, pod.feed_api, pod.name, LEASE)
        self.tasks = [
            asyncio.create_task(self.leases.run(), name="run"),
            asyncio.create_task(self.leases.renew(), name="renew"),
        ]

    async def die(self) -> None:
        """Stop without a word to anybody."""
        tasks, self.tasks = self.tasks, []
        await ended(*tasks)

    async def enter(self, count: int, limit: int, key: str = KEY) -> tuple[int, list[Code]]:
        """How many of `count` at once came in, and what the others were told."""
        told = await asyncio.gather(*(self.leases.enter(key, limit) for _ in range(count)), return_exceptions=True)
        refused = [one for one in told if one is not None]
        assert all(isinstance(one, SlipstreamError) for one in refused), refused
        return count - len(refused), [one.code for one in refused if isinstance(one, SlipstreamError)]

    def leave(self, count: int, key: str = KEY) -> None:
        for _ in range(count):
            self.leases.leave(key)

    def share(self, key: str = KEY) -> Any:
        return dict(self.leases.document().get(key, {"in_use": 0, "granted": 0, "overshoot": 0}))


@asynccontextmanager
async def processes(nats: NatsServer, *names: str) -> AsyncIterator[list[Process]]:
    async with AsyncExitStack() as stack:
        made = [Process(await stack.enter_async_context(Pod(nats.url, name))) for name in names]
        try:
            await until(lambda: all(one.leases.holds and one.leases.living == len(names) for one in made), "all live")
            yield made
        finally:
            for one in made:
                await one.die()
                await one.leases.close()
            if nats.alive:
                await made[0].pod.api.call(f"STREAM.DELETE.{_STREAM}")


async def written(pod: Pod) -> int:
    info = await pod.api.call(f"STREAM.INFO.{_STREAM}", {"subjects_filter": ">"})
    return int(info["state"]["last_seq"])


async def test_a_crowd_over_three_processes_fills_the_limit_and_no_more_with_few_messages(nats: NatsServer) -> None:
    async with processes(nats, "a", "b", "c") as made:
        before = await written(made[0].pod)
        answers = await asyncio.gather(*(one.enter(200, 300) for one in made))
        assert sum(count for count, _ in answers) == 300
        assert {code for _, codes in answers for code in codes} == {Code.QUOTA_EXCEEDED}
        assert sum(one.share()["in_use"] for one in made) == 300
        assert await written(made[0].pod) - before < 60


async def test_what_lies_idle_elsewhere_is_given_to_who_wants_it(nats: NatsServer) -> None:
    async with processes(nats, "a", "b") as (one, other):
        assert await one.enter(40, 40) == (40, [])
        assert await other.enter(1, 40) == (0, [Code.QUOTA_EXCEEDED])
        one.leave(10)
        await until(lambda: one.share()["granted"] == 30, "they are given back", seconds=2 * LEASE)
        assert await other.enter(10, 40) == (10, [])
        assert await other.enter(1, 40) == (0, [Code.QUOTA_EXCEEDED])


async def test_one_subject_has_a_limit_of_its_own(nats: NatsServer) -> None:
    key = subject_key("acme", "ada@example.com")
    async with processes(nats, "a", "b") as made:
        answers = await asyncio.gather(*(one.enter(3, 2, key) for one in made))
        assert sum(count for count, _ in answers) == 2
        for one in made:
            one.leave(one.share(key)["in_use"], key)
        await until(lambda: not any(one.leases.document() for one in made), "nothing is remembered")


async def test_the_share_of_a_process_that_died_comes_back_after_its_lease(nats: NatsServer) -> None:
    async with processes(nats, "a", "b") as (one, other):
        assert await one.enter(20, 30) == (20, [])
        assert (await other.enter(20, 30))[0] == 10
        await one.die()
        assert (await other.enter(20, 30))[0] == 0, "its lease is not over"
        await until(lambda: other.leases.living == 1, "it is taken for gone")
        await until(lambda: other.leases._accounts[KEY].share._document == {"b": 10}, "its grants are removed")
        assert (await other.enter(21, 30))[0] == 20


async def test_what_a_process_held_that_died_is_cleared_away_for_those_who_never_come_back(nats: NatsServer) -> None:
    keys = [subject_key("acme", f"user-{number}@example.com") for number in range(20)]
    async with processes(nats, "a", "b") as (one, other):
        for key in keys:
            assert await one.enter(1, 5, key) == (1, [])
        assert await other.enter(1, 5, keys[0]) == (1, [])
        await one.die()
        await until(lambda: other.leases.living == 1, "it is taken for gone", seconds=4 * LEASE)
        other.tasks.append(asyncio.create_task(other.leases.sweep(0.1), name="sweep"))

        async def swept() -> bool:
            left = [entry async for entry in other.leases._bucket.all("quota.>")]
            return [value for _, value in left if value != b"{}"] == [b'{"b":1}']

        await wait_until(swept, seconds=10, what="no grant of the dead is left, and those of the living are")
        assert other.share(keys[0]) == {"in_use": 1, "granted": 1, "overshoot": 0}
        info = await other.pod.api.call(f"STREAM.MSG.GET.{_STREAM}", {"last_by_subj": f"$KV.{LEASES_BUCKET}.{keys[1]}"})
        assert b"Nats-TTL" in base64.b64decode(info["message"]["hdrs"]), "what is empty goes by itself"


async def test_one_that_says_goodbye_frees_its_share_at_once(nats: NatsServer) -> None:
    async with processes(nats, "a", "b") as (one, other):
        assert await one.enter(30, 30) == (30, [])
        one.tasks[1].cancel()
        await one.leases.close()
        await until(lambda: other.leases.living == 1, "it said so", seconds=LEASE / 2)
        assert await other.enter(30, 30) == (30, [])


async def test_who_cannot_renew_admits_nobody_new_evicts_nobody_and_counts_what_is_over(nats: NatsServer) -> None:
    async with processes(nats, "a", "b") as (one, other):
        assert await one.enter(20, 30) == (20, [])
        one.tasks[1].cancel()
        await until(lambda: not one.leases.holds, "its lease is over", seconds=2 * LEASE)
        assert await one.enter(1, 30) == (0, [Code.UPSTREAM_UNAVAILABLE])
        await until(lambda: other.leases.living == 1, "the other sees it")
        assert await other.enter(25, 30) == (25, [])
        one.tasks.append(asyncio.create_task(one.leases.renew(), name="renew"))
        await until(lambda: one.leases.holds and one.share()["granted"] == 5, "it takes what is left")
        assert one.share() == {"in_use": 20, "granted": 5, "overshoot": 15}
        assert await one.enter(1, 30) == (0, [Code.QUOTA_EXCEEDED])
        other.leave(25)
        await until(lambda: one.share()["overshoot"] == 0, "the rest is granted again")


async def test_without_nats_what_is_granted_can_be_used_until_the_lease_ends(
    nats: NatsServer, caplog: pytest.LogCaptureFixture
) -> None:
    async with processes(nats, "a") as (one,):
        assert await one.enter(1, 1000) == (1, [])
        assert one.share()["granted"] == 16
        await freeze(nats)
        try:
            assert await one.enter(15, 1000) == (15, [])
            assert await one.enter(1, 1000) == (0, [Code.UPSTREAM_UNAVAILABLE])
        finally:
            nats.resume()
        await until(lambda: one.leases.holds, "it renews again")
        assert await one.enter(1, 1000) == (1, [])
        assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


async def test_a_bucket_that_was_made_anew_costs_no_stream_and_is_filled_again(nats: NatsServer) -> None:
    async with processes(nats, "a") as (one,):
        assert await one.enter(5, 5) == (5, [])
        await one.pod.api.call(f"STREAM.DELETE.{_STREAM}")
        await until(lambda: not one.leases.holds, "it is seen", seconds=4 * LEASE)
        await until(
            lambda: one.leases.holds and one.share()["granted"] == 5, "the share is there again", seconds=4 * LEASE
        )
        assert await one.enter(1, 5) == (0, [Code.QUOTA_EXCEEDED])


async def test_a_client_that_leaves_while_it_waits_is_not_counted(nats: NatsServer) -> None:
    async with processes(nats, "a") as (one,):
        assert await one.enter(3, 3) == (3, [])
        waiting = [asyncio.create_task(one.leases.enter(KEY, 3)) for _ in range(2)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        one.leave(1)
        await asyncio.wait(waiting)
        assert waiting[0].cancelled()
        assert waiting[1].exception() is None
        assert one.share()["in_use"] == 3
