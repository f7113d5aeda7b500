"""A real loopback server that gives each connection the next answer of its script and keeps what was asked."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

Answer = Callable[[asyncio.StreamWriter], Awaitable[None]]

STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


@dataclass
class Server:
    """url: where it listens. requests: the heads of the requests so far, in order."""

    url: str = ""
    requests: list[str] = field(default_factory=list)

    def header(self, number: int, name: str) -> str | None:
        for line in self.requests[number].splitlines()[1:]:
            key, _, value = line.partition(": ")
            if key.lower() == name.lower():
                return value
        return None


def frames(*blocks: str, end: bool = True, hold: bool = False) -> Answer:
    """An open stream with these frames, one chunk each; then a clean end, a hold, or a cut in the middle."""

    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM_HEAD)
        for block in blocks:
            data = block.encode()
            writer.write(b"%x\r\n%b\r\n" % (len(data), data))
        if hold:
            await writer.drain()
            await asyncio.sleep(30)
        if end:
            writer.write(b"0\r\n\r\n")

    return answer


def plain(status: int, body: str = "", **headers: str) -> Answer:
    """A complete answer that is no stream; header names with `_` for `-`."""

    async def answer(writer: asyncio.StreamWriter) -> None:
        lines = [f"HTTP/1.1 {status} Reason", f"Content-Length: {len(body)}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        writer.write(("\r\n".join([*lines, "", ""]) + body).encode())

    return answer


async def reset(writer: asyncio.StreamWriter) -> None:
    """Close before a byte of an answer."""
    writer.transport.abort()


@asynccontextmanager
async def serve(*script: Answer) -> AsyncIterator[Server]:
    """A server with this script; a connection beyond its end is closed without an answer."""
    server, answers, tasks = Server(), iter(script), set[asyncio.Task[None]]()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            server.requests.append(head.decode("latin-1"))
            await next(answers, reset)(writer)
        except asyncio.CancelledError:
            pass  # The test is over; Python 3.11's stream callback would log a cancelled handler as an error.
        finally:
            writer.close()

    listener = await asyncio.start_server(handle, "127.0.0.1", 0)
    server.url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    try:
        yield server
    finally:
        listener.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
