"""A read that is broken off at any moment, its very end included, leaves nothing on the server nor in the process."""

import asyncio
import uuid

import pytest
from nats.aio.subscription import Subscription

from slipstream.jetstream.client import Client
from slipstream.protocol.topic import Filters
from tests.contract.pod import Message, Pod
from tests.process import wait_until
from tests.servers import NatsServer

LOOPS = ("uvloop", "asyncio")
EVENTS = 30


@pytest.mark.parametrize("when", ["before its end", "at its end", "twice"])
async def test_the_consumer_of_a_read_that_is_cancelled_is_removed(
    nats: NatsServer, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    untap = Client.untap
    reading: list[asyncio.Task[None]] = []

    async def meanwhile(self: Client, subscription: Subscription) -> None:
        await untap(self, subscription)
        if asyncio.current_task() in reading and when != "before its end":
            # In the same turn of the loop somebody leaves for whom this was read.
            reading[0].cancel()

    monkeypatch.setattr(Client, "untap", meanwhile)
    async with Pod(nats.url, "reader") as pod:
        tenant = f"t{uuid.uuid4().hex[:8]}"
        await pod.ensure(tenant)
        source = pod.source(tenant)
        await pod.publish(tenant, [Message(f"topic.{number}", b"x", f"event-{number}") for number in range(EVENTS)])
        taps = len(pod.link.client._taps)

        async def read() -> None:
            async for _ in source.snapshot(Filters.parse([">"])):
                if when != "at its end":
                    # It is told at the next wait, which is for the rest.
                    reading[0].cancel()

        reading.append(asyncio.create_task(read(), name="reading"))
        await asyncio.wait({reading[0]}, timeout=10)
        assert reading[0].cancelled()

        async def removed() -> bool:
            info = await pod.api.call(f"STREAM.INFO.{source.stream}")
            return int(info["state"]["consumer_count"]) == 0

        # By itself it would end after half a minute.
        await wait_until(removed, seconds=5, what="the consumer is removed")
        assert len(pod.link.client._taps) == taps
        await pod.api.call(f"STREAM.DELETE.{source.stream}")
