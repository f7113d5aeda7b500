"""Names of hosts to addresses, by threads of their own: a name server that says nothing keeps nobody else waiting.

A loop's own `getaddrinfo` is for what is ours, NATS above all: uvloop has two lookups under way at a time, asyncio as
many as its pool has threads, and each takes as long as the resolver tries (10 s and more).
"""

from __future__ import annotations

import asyncio
import errno
import socket
import threading
from typing import Any, Final, NamedTuple

from aiohttp.abc import AbstractResolver, ResolveResult

from slipstream.resilience.abandoned import abandoned

_LOOKUPS: Final = 64
"""Under way at once. A thread that waits takes some 50 KiB."""


class _Asked(NamedTuple):
    host: str
    port: int
    family: socket.AddressFamily


class Names(AbstractResolver):
    """One lookup of a name at a time; beyond the most, other names are refused at once."""

    def __init__(self) -> None:
        self._under_way: dict[_Asked, asyncio.Future[list[ResolveResult]]] = {}

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """The addresses of `host`. Raises OSError; a lookup goes on when nobody waits for it any more."""
        asked = _Asked(host, port, family)
        found = self._under_way.get(asked)
        if found is None:
            if len(self._under_way) >= _LOOKUPS:
                raise OSError(errno.EAGAIN, f"{_LOOKUPS} other names are being looked up: their servers do not answer")
            found = self._begin(asked)
        return await asyncio.shield(found)

    async def close(self) -> None:
        """Nothing is waited for: the threads end with the process."""

    def _begin(self, asked: _Asked) -> asyncio.Future[list[ResolveResult]]:
        loop = asyncio.get_running_loop()
        found: asyncio.Future[list[ResolveResult]] = loop.create_future()
        found.add_done_callback(abandoned)

        def settle(results: list[ResolveResult], error: OSError | None) -> None:
            del self._under_way[asked]
            if error is not None:
                found.set_exception(error)
            else:
                found.set_result(results)

        def look() -> None:
            results: list[ResolveResult] = []
            failure: OSError | None = None
            try:
                results = _look_up(asked)
            except OSError as error:
                failure = error
            except UnicodeError:
                failure = OSError(errno.EINVAL, "it is no name of a host")
            try:
                loop.call_soon_threadsafe(settle, results, failure)
            except RuntimeError:
                return  # the loop is closed: nobody waits

        try:
            # Not of a pool: those of a pool are waited for when the process ends.
            threading.Thread(target=look, name=f"name-{asked.host}", daemon=True).start()
        except RuntimeError as error:
            raise OSError(errno.EAGAIN, f"no thread can be started for it: {error}") from error
        self._under_way[asked] = found
        return found


def _look_up(asked: _Asked) -> list[ResolveResult]:
    infos: list[Any] = socket.getaddrinfo(
        asked.host, asked.port, asked.family, socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG
    )
    return [
        ResolveResult(
            hostname=asked.host,
            host=address[0],
            port=address[1],
            family=family,
            proto=protocol,
            flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
        )
        for family, _, protocol, _, address in infos
    ]
