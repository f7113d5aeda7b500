"""What an operator does to JetStream, by its API and with plain nats-py."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any, Self

import nats
from nats.aio.client import Client
from nats.errors import Error

from tests.servers import wait_until

ANSWER_SECONDS = 2.0
PATIENCE_SECONDS = 30.0
AGAIN_SECONDS = 0.2


class Refused(Exception):
    """JetStream said no."""


class Control:
    """One connection to whichever node answers."""

    def __init__(self, client: Client) -> None:
        self.client = client

    @classmethod
    async def connect(cls, servers: Sequence[str]) -> Self:
        """Connect, with reconnects for ever."""

        async def heard(_: Exception) -> None:
            """Every call is repeated; what it ends with is told then."""

        client = await nats.connect(
            list(servers), max_reconnect_attempts=-1, reconnect_time_wait=0.1, ping_interval=2, error_cb=heard
        )
        return cls(client)

    async def close(self) -> None:
        """Close the connection."""
        await self.client.close()

    async def call(self, subject: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """Ask `$JS.API.<subject>` until it answers, for 30 s. Raises TimeoutError, or Refused."""
        payload = b"" if body is None else json.dumps(body).encode()
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                try:
                    message = await self.client.request(f"$JS.API.{subject}", payload, timeout=ANSWER_SECONDS)
                except Error:
                    # The node behind this connection may be cut off from the others.
                    await self.client.force_reconnect()
                    await asyncio.sleep(AGAIN_SECONDS)
                    continue
                answer: dict[str, Any] = json.loads(message.data)
                error = answer.get("error")
                if error is None:
                    return answer
                if error["code"] < 500:
                    raise Refused(f"{subject}: {error}")
                await asyncio.sleep(AGAIN_SECONDS)

    async def leader(self, stream: str) -> int:
        """The number of the node that leads a stream; waits for an election."""
        found: list[int] = []

        async def elected() -> bool:
            name = (await self.call(f"STREAM.INFO.{stream}"))["cluster"].get("leader")
            if name:
                found.append(int(name.rpartition("-")[2]))
            return bool(found)

        await wait_until(elected, seconds=PATIENCE_SECONDS, what=f"{stream} has a leader")
        return found[0]

    async def step_down(self, stream: str) -> None:
        """Ask the leader to hand over."""
        await self.call(f"STREAM.LEADER.STEPDOWN.{stream}")

    async def replicate(self, stream: str, copies: int) -> bool:
        """Give a stream so many copies; False when it had them."""
        config = (await self.call(f"STREAM.INFO.{stream}"))["config"]
        if config["num_replicas"] == copies:
            return False
        await self.call(f"STREAM.UPDATE.{stream}", {**config, "num_replicas": copies})
        return True

    async def whole(self, stream: str) -> bool:
        """Whether every copy of a stream is up to date."""
        cluster = (await self.call(f"STREAM.INFO.{stream}"))["cluster"]
        return bool(cluster.get("leader")) and all(one.get("current") for one in cluster.get("replicas", ()))

    async def streams(self) -> list[str]:
        """The names of all streams."""
        return list((await self.call("STREAM.NAMES")).get("streams") or ())

    async def until_whole(self, streams: Sequence[str], seconds: float = PATIENCE_SECONDS) -> None:
        """Wait until every copy of these streams is up to date. Raises TimeoutError."""

        async def whole() -> bool:
            return all([await self.whole(stream) for stream in streams])

        await wait_until(whole, seconds=seconds, what="all copies of the streams are up to date")
