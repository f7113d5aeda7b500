"""`python -m loadtest.tenants`: what a tenant costs that has readers on this pod, beside the readers themselves.

Each tenant has a feed of its own: a consumer in NATS, a task and a ring here. Streams of many tenants are compared with
as many streams of one, so that what a stream costs is not counted.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Final

import orjson

from loadtest.child import ChildFailed, child
from loadtest.command import carry_out, parser
from loadtest.measure import Settings, Show
from loadtest.monitoring import requests
from loadtest.procfs import resident, usage
from loadtest.result import Result
from loadtest.servers import TENANT, Stack, environment, stack
from slipstream.cli.dev.ports import HOST

_OPEN_SECONDS: Final = 30.0
_APPLY_SECONDS: Final = 300.0
_SETTLE_SECONDS: Final = 3.0
_READY: Final = b"event: stream.ready"
_MIB: Final = 2**20


@dataclass(frozen=True, slots=True)
class State:
    """The servers at rest: bytes of memory, seconds of CPU in a second, requests to NATS so far."""

    edge: int
    nats: int
    edge_cpu: float
    nats_cpu: float
    asked: int

    @classmethod
    async def of(cls, servers: Stack, seconds: float) -> State:
        """After some seconds in which nothing is opened."""
        await asyncio.sleep(_SETTLE_SECONDS)
        edge, nats, began = usage(servers.edge_pid), usage(servers.nats_pid), time.monotonic()
        await asyncio.sleep(seconds)
        passed = time.monotonic() - began
        return cls(
            resident(servers.edge_pid).anonymous,
            resident(servers.nats_pid).anonymous,
            (usage(servers.edge_pid) - edge).cpu / passed,
            (usage(servers.nats_pid) - nats).cpu / passed,
            await requests(servers),
        )


async def tenants(settings: Settings, number: int, show: Show) -> Result:
    """One stream for each of so many tenants, against as many streams of one."""
    show("starting nats-server and the edge")
    async with stack(settings.cores, connections=2 * number, store=settings.store, loop=settings.loop) as servers:
        show(f"making {number:,} tenants")
        names = [f"tenant-{each}" for each in range(number)]
        began = time.monotonic()
        await _apply(servers, settings, names)
        made = time.monotonic() - began
        fresh = await State.of(servers, settings.seconds)
        async with AsyncExitStack() as streams:
            show(f"opening {number:,} streams of one tenant")
            await _open(streams, servers, [TENANT] * number)
            one = await State.of(servers, settings.seconds)
            show(f"opening a stream of each of {number:,} tenants")
            began = time.monotonic()
            await _open(streams, servers, names)
            opened = time.monotonic() - began
            many = await State.of(servers, settings.seconds)
    per_stream = (one.edge - fresh.edge) / number
    return Result(
        "tenants",
        f"{number:,} tenants with a stream each",
        (many.edge - one.edge) / number - per_stream,
        None,
        {
            "tenants made per second, with their streams in NATS": number / made,
            "tenants opened per second": number / opened,
            "edge: bytes per stream, all of one tenant": per_stream,
            "edge: bytes per tenant, beside its stream": (many.edge - one.edge) / number - per_stream,
            "nats-server: bytes per tenant followed": (many.nats - one.nats) / number,
            "requests to NATS per tenant opened": (many.asked - one.asked) / number,
            "edge CPU at rest, us per tenant and second": 1e6 * (many.edge_cpu - one.edge_cpu) / number,
            "nats-server CPU at rest, us per tenant and second": 1e6 * (many.nats_cpu - one.nats_cpu) / number,
            "edge PSS at the end, MiB": many.edge / _MIB,
        },
    )


async def _apply(servers: Stack, settings: Settings, names: Sequence[str]) -> None:
    """Make the tenants, small enough for NATS to reserve them all."""
    spec = {"retention": {"max_bytes": 1024 * 1024}}
    documents = [
        {"apiVersion": "slipstream.dev/v1alpha1", "kind": "Tenant", "metadata": {"name": name}, "spec": spec}
        for name in names
    ]
    path = servers.folder / "tenants.yaml"
    path.write_bytes(b"\n---\n".join(orjson.dumps(document) for document in documents))
    argv = [sys.executable, "-m", "slipstream", "tenant", "apply", "-f", str(path)]
    env = environment(servers.nats_url, servers.port, servers.admin_port, 1, settings.loop)
    async with child("apply", argv, folder=servers.folder, cores=settings.cores.others, env=env) as command:
        try:
            status = await command.ended(_APPLY_SECONDS)
        except TimeoutError as error:
            raise command.failure(f"runs for more than {_APPLY_SECONDS:g} s") from error
        if status:
            raise command.failure(f"ended with status {status}")


async def _open(streams: AsyncExitStack, servers: Stack, names: Sequence[str]) -> None:
    for name in names:
        await streams.enter_async_context(_stream(servers.port, name))


@asynccontextmanager
async def _stream(port: int, tenant: str) -> AsyncIterator[None]:
    """An open stream, its `stream.ready` read; what comes after that stays in the kernel."""
    reader, writer = await asyncio.open_connection(HOST, port, limit=4096)
    try:
        writer.write(f"GET /v1/events?tenant={tenant} HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
        try:
            async with asyncio.timeout(_OPEN_SECONDS):
                while _READY not in (line := await reader.readline()):
                    if not line:
                        raise ChildFailed(f"the stream of {tenant} ended before it was ready")
        except TimeoutError as error:
            raise ChildFailed(f"the stream of {tenant} is not ready after {_OPEN_SECONDS:g} s") from error
        yield
    finally:
        writer.close()


def main(arguments: Sequence[str]) -> int:
    """Entry point."""
    made = parser("loadtest.tenants", __doc__, connections=300, seconds=6.0)
    options = made.parse_args(arguments)
    return carry_out("tenants", options, lambda settings, show: _run(options, settings, show))


async def _run(options: argparse.Namespace, settings: Settings, show: Show) -> Result:
    return await tenants(settings, options.connections, show)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
