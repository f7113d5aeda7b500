"""What the measured servers say about themselves: the edge's `/statusz`, and what it asked of NATS (`/connz`)."""

from __future__ import annotations

from typing import Any, Final

import orjson

from loadtest.child import ChildFailed
from loadtest.servers import Stack
from slipstream.cli.dev.probe import get

_TRIES: Final = 5


async def status(servers: Stack) -> dict[str, Any]:
    """The edge's `/statusz`. Raises ChildFailed when it does not answer."""
    return await document(servers.admin_port, "/statusz")


async def requests(servers: Stack) -> int:
    """Messages that the edge has sent to NATS on its connection for requests. Raises ChildFailed without an answer."""
    return sent(await document(servers.monitor_port, "/connz"))


def sent(connz: dict[str, Any]) -> int:
    """Messages that NATS took from all connections for requests in a `/connz` document."""
    names = ((each.get("name", ""), each["in_msgs"]) for each in connz["connections"])
    return sum(int(count) for name, count in names if name.startswith("slipstream-api-"))


async def document(port: int, path: str) -> dict[str, Any]:
    """The JSON object of a GET on loopback; each of five tries has a second. Raises ChildFailed."""
    answer = None
    for _ in range(_TRIES):
        answer = await get(port, path)
        if answer is not None and answer[0] == 200:
            made: dict[str, Any] = orjson.loads(answer[1])
            return made
    raise ChildFailed(f"port {port} does not answer {path} with 200, but {answer[0] if answer else 'not at all'}")
