"""Publishes the events of `loadtest.publisher` to a peer: `python -m loadtest.peers.feed PLAN`.

Same commands, schedule, events and reports. The URL of the plan says how: `tcp://HOST:PORT` takes a line for each
event, `http://HOST:PORT/PATH` a POST for each, on connections that are kept.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any, BinaryIO, Final
from urllib.parse import urlsplit

import orjson

from loadtest.publisher import Plan, publish_to

_CONNECTIONS: Final = 8
"""Connections for POSTs: one alone would wait for an answer before each event."""
_CONNECT_SECONDS: Final = 10.0


class Lines:
    """One TCP connection; an event counts as acknowledged when the connection has taken it."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer

    async def publish_async(self, subject: str, payload: bytes) -> asyncio.Future[None]:
        """Write the payload (without a line end in it) as a line; waits where the peer does not read."""
        del subject
        self._writer.write(payload + b"\n")
        await self._writer.drain()
        taken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        taken.set_result(None)
        return taken

    async def publish_async_completed(self) -> None:
        """Nothing is ever under way."""


class Refused(Exception):
    """An answer to a POST that is not 2xx."""


class Posts:
    """Connections with at most one POST each under way; `run` serves one of them."""

    def __init__(self, host: str, path: str) -> None:
        self._head = f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: "
        self._waiting: asyncio.Queue[tuple[bytes, asyncio.Future[None]]] = asyncio.Queue(_CONNECTIONS)
        self._open: set[asyncio.Future[None]] = set()

    async def publish_async(self, subject: str, payload: bytes) -> asyncio.Future[None]:
        """POST the payload; waits where all connections are busy and as many events wait already."""
        del subject
        answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._open.add(answer)
        answer.add_done_callback(self._open.discard)
        await self._waiting.put((payload, answer))
        return answer

    async def publish_async_completed(self) -> None:
        """Return when every POST was answered."""
        if self._open:
            await asyncio.wait(self._open)

    async def run(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Send what waits, one after the other, for ever. Raises what breaks the connection, to its POST, too."""
        while True:
            payload, answer = await self._waiting.get()
            try:
                writer.write(f"{self._head}{len(payload)}\r\n\r\n".encode() + payload)
                status = await answered(reader)
            except (OSError, EOFError, ValueError) as error:
                answer.set_exception(error)
                raise
            if 200 <= status < 300:
                answer.set_result(None)
            else:
                answer.set_exception(Refused(f"answer {status}"))


async def answered(reader: asyncio.StreamReader) -> int:
    """The status of the next answer, whose body is read away. Raises ValueError when its length is not told."""
    status, *lines = (await reader.readuntil(b"\r\n\r\n"))[:-4].decode("latin-1").split("\r\n")
    fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    await reader.readexactly(int(fields["content-length"]) if "content-length" in fields else _unknown(status))
    return int(status.split(" ")[1])


def _unknown(status: str) -> int:
    raise ValueError(f"an answer without Content-Length: {status[:80]}")


async def _main(plan: Plan, reports: BinaryIO) -> None:
    url = urlsplit(plan.url)
    if url.hostname is None or url.port is None:
        raise ValueError(f"{plan.url!r} has no host or no port")
    count = 1 if url.scheme == "tcp" else _CONNECTIONS
    async with asyncio.timeout(_CONNECT_SECONDS):
        streams = [await asyncio.open_connection(url.hostname, url.port) for _ in range(count)]
    if url.scheme == "tcp":
        await publish_to(Lines(streams[0][1]), plan, reports)
        return
    posts = Posts(url.netloc, url.path)
    async with asyncio.TaskGroup() as group:
        running: list[asyncio.Task[Any]] = [
            group.create_task(posts.run(*stream), name=f"post-{number}") for number, stream in enumerate(streams)
        ]
        await publish_to(posts, plan, reports)
        for task in running:
            task.cancel()


def main(arguments: list[str]) -> int:
    """Entry point of the process."""
    asyncio.run(_main(Plan(**orjson.loads(arguments[0])), sys.stdout.buffer))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
