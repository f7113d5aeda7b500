"""What expires in a bucket between two looks of a process that begins to follow it, on a real nats-server."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from slipstream.jetstream.feed import Feed
from slipstream.jetstream.kv import Kv
from slipstream.jetstream.kv_follower import KvFollower
from slipstream.jetstream.subjects import Delivered
from tests.contract.pod import Pod, ended, until
from tests.servers import wait_until


class Told:
    """A watcher that writes down what it is told."""

    def __init__(self) -> None:
        self.all: list[str] = []

    def began(self, *, anew: bool) -> None:
        assert not anew
        self.all.append("began")

    def take(self, key: str, value: bytes | None, delivered: Delivered) -> None:
        del value, delivered
        self.all.append(key)

    def loaded(self) -> None:
        self.all.append("loaded")


@pytest.fixture
async def kv(pod: Pod) -> AsyncIterator[Kv]:
    one = Kv(pod.api, "expiring", "made by a test")
    await one.ensure()
    yield one
    await pod.api.call(f"STREAM.DELETE.{one.stream}")


@pytest.mark.parametrize("stays", [(), ("a", "b")], ids=["nothing stays", "older ones stay"])
async def test_all_is_loaded_where_the_newest_expires_before_the_consumer_is_made(
    pod: Pod, kv: Kv, monkeypatch: pytest.MonkeyPatch, stays: tuple[str, ...]
) -> None:
    for key in stays:
        await kv.put(key, b"1", {})
    await kv.put("newest", b"1", {"Nats-TTL": "1s"})
    create = Feed._create

    async def late(feed: Feed, *arguments: Any) -> None:
        async def gone() -> bool:
            return await kv.get("newest") is None

        await wait_until(gone, seconds=10, what="the newest has expired")
        await create(feed, *arguments)

    monkeypatch.setattr(Feed, "_create", late)
    told = Told()
    follower = KvFollower(kv, pod.api, pod.feed_api, pod.name, told, make=False)
    task = asyncio.create_task(follower.run(), name="follower")
    try:
        await until(lambda: "loaded" in told.all, "all is loaded", seconds=10)
        assert sorted(told.all) == sorted(["began", *stays, "loaded"])
        assert told.all.index("loaded") == len(told.all) - 1
        await kv.put("c", b"1", {})
        await until(lambda: told.all[-1] == "c", "what comes later is told")
        assert told.all.count("loaded") == 1
    finally:
        await ended(task)
