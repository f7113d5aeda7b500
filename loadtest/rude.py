"""Clients that come and go badly, all at once: `python -m loadtest.rude PORT TENANT CLIENTS SEED`.

Each does one of the things that leave something behind where nobody tidies up. Writes one JSON object, how many did
what, when all are gone.
"""

from __future__ import annotations

import asyncio
import random
import socket
import struct
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Final

import orjson

from loadtest.machine import raise_descriptor_limit
from slipstream.cli.dev.ports import HOST

_RESET: Final = struct.pack("ii", 1, 0)
_SECONDS: Final = 10.0
_STAY: Final = (0.05, 1.0)
_AT_ONCE: Final = 500


class Rude:
    """One client. `stay` is how long it takes its time, in seconds."""

    def __init__(self, connection: socket.socket, tenant: str, stay: float) -> None:
        self._socket = connection
        self._tenant = tenant
        self._stay = stay
        self._loop = asyncio.get_running_loop()

    async def connects_and_resets(self) -> None:
        """Says nothing."""
        self.reset()

    async def stops_in_the_head(self) -> None:
        """Resets in the middle of its request."""
        await self._send("GET /v1/events?tenant=")
        await asyncio.sleep(self._stay)
        self.reset()

    async def stops_in_the_body(self) -> None:
        """Promises a body and sends half of it."""
        head = f"POST /v1/events?tenant={self._tenant} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        await self._send(head + "Content-Length: 1000\r\n\r\n" + '{"topic":')
        await asyncio.sleep(self._stay)
        self.reset()

    async def resets_before_it_reads(self) -> None:
        """Asks for a stream and is gone before it comes."""
        await self._ask("since=now")
        self.reset()

    async def resets_in_a_replay(self) -> None:
        """Reads the beginning of all that is stored."""
        await self._ask("since=earliest")
        await self._loop.sock_recv(self._socket, 4096)
        self.reset()

    async def reads_nothing_of_a_replay(self) -> None:
        """Has its buffers filled, then goes."""
        await self._ask("since=earliest")
        await asyncio.sleep(self._stay)
        self.reset()

    async def resets_a_live_stream(self) -> None:
        """Reads for a while."""
        await self._ask("since=now")
        await self._read()
        self.reset()

    async def half_closes(self) -> None:
        """Ends its half and reads on until the other half ends."""
        await self._ask("since=now")
        await self._loop.sock_recv(self._socket, 4096)
        self._socket.shutdown(socket.SHUT_WR)
        await self._read()
        self._socket.close()

    async def leaves_in_order(self) -> None:
        """What a browser does."""
        await self._ask("since=last")
        await self._read()
        self._socket.close()

    async def talks(self) -> None:
        """Sends on where there is nothing to be said."""
        await self._ask("since=now")
        for _ in range(20):
            await self._send("x" * 1_000)
        self.reset()

    async def leaves_a_poll(self) -> None:
        """Waits for events by a poll, and goes."""
        await self._send(f"GET /v1/poll?tenant={self._tenant}&wait=30 HTTP/1.1\r\nHost: x\r\n\r\n")
        await asyncio.sleep(self._stay)
        self.reset()

    def reset(self) -> None:
        """Go without a word: RST."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self._socket.close()

    async def _ask(self, query: str) -> None:
        target = f"/v1/events?tenant={self._tenant}&{query}"
        await self._send(f"GET {target} HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip\r\n\r\n")

    async def _send(self, text: str) -> None:
        await self._loop.sock_sendall(self._socket, text.encode())

    async def _read(self) -> None:
        try:
            async with asyncio.timeout(self._stay):
                while await self._loop.sock_recv(self._socket, 65_536):
                    pass
        except TimeoutError:
            return


WAYS: Final[tuple[Callable[[Rude], Awaitable[None]], ...]] = (
    Rude.connects_and_resets,
    Rude.stops_in_the_head,
    Rude.stops_in_the_body,
    Rude.resets_before_it_reads,
    Rude.resets_in_a_replay,
    Rude.reads_nothing_of_a_replay,
    Rude.resets_a_live_stream,
    Rude.half_closes,
    Rude.leaves_in_order,
    Rude.talks,
    Rude.leaves_a_poll,
)


async def crowd(port: int, tenant: str, clients: int, seed: int) -> Counter[str]:
    """So many clients, 500 at once at the most; how many did what, and what ended otherwise than it should."""
    dice = random.Random(seed)
    room = asyncio.Semaphore(_AT_ONCE)
    done: Counter[str] = Counter()

    async def one(way: Callable[[Rude], Awaitable[None]], stay: float) -> None:
        async with room:
            with socket.socket() as connection:
                connection.setblocking(False)
                try:
                    async with asyncio.timeout(_SECONDS):
                        await asyncio.get_running_loop().sock_connect(connection, (HOST, port))
                        await way(Rude(connection, tenant, stay))
                except (OSError, TimeoutError) as error:
                    done[f"{way.__name__}: {type(error).__name__}"] += 1
                else:
                    done[way.__name__] += 1

    async with asyncio.TaskGroup() as group:
        for number in range(clients):
            group.create_task(one(WAYS[number % len(WAYS)], dice.uniform(*_STAY)))
    return done


def main(arguments: list[str]) -> int:
    """Entry point of the process."""
    raise_descriptor_limit()
    port, tenant, clients, seed = arguments
    done = asyncio.run(crowd(int(port), tenant, int(clients), int(seed)))
    sys.stdout.buffer.write(orjson.dumps(done) + b"\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
