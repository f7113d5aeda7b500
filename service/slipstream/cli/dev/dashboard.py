"""The living line: who lives, how many streams each edge holds, how many events went in."""

import asyncio
from typing import Final

import orjson
from rich.text import Text

from slipstream.cli.dev.cluster import Cluster
from slipstream.cli.dev.probe import get

_ASK_SECONDS: Final = 1.0


class Dashboard:
    """`render` is the line now; `run` keeps the edges' numbers fresh until cancelled."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._streams: dict[str, int] = {}

    async def run(self) -> None:
        """Ask the edges for their open streams once a second."""
        while True:
            for edge, port in zip(self._cluster.edges, self._cluster.admin_ports, strict=True):
                self._streams[edge.name] = streams_in(await get(port, "/statusz"))
            await asyncio.sleep(_ASK_SECONDS)

    def render(self) -> Text:
        """The line."""
        line = Text("  ", no_wrap=True, overflow="ellipsis")
        for child in self._cluster.children:
            line.append("● " if child.alive else "○ ", "green" if child.alive else "bold red")
            line.append(child.name)
            if child.name in self._streams:
                count = self._streams[child.name]
                line.append(f" {count} stream{'' if count == 1 else 's'}", "dim")
            line.append("   ")
        for feed in self._cluster.feeds:
            line.append("│ " if feed is self._cluster.feeds[0] else "")
            line.append(f"{feed.tenant} ", "dim")
            line.append(f"{feed.acked:,}", "bold red" if feed.waiting else "bold cyan")
            line.append("   ")
        return line


def streams_in(answer: tuple[int, bytes] | None) -> int:
    """The open streams that a `/statusz` answer tells; 0 without one."""
    if answer is None:
        return 0
    try:
        found = orjson.loads(answer[1])
    except orjson.JSONDecodeError:
        return 0
    count = found.get("connections") if isinstance(found, dict) else None
    return count if isinstance(count, int) else 0
