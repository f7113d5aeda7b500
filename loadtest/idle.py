"""The workload `idle`: what a stream costs while nothing happens."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Final

from loadtest.child import ChildFailed
from loadtest.measure import Settings, Show, faults, fresh_servers, open_streams, publishing_to
from loadtest.procfs import Resident, descriptors, resident, slab_memory, socket_memory, usage
from loadtest.result import Aim, Result
from loadtest.servers import Stack

WARM_UP: Final = 500
"""Streams that come and go before memory is measured, so that what an allocator keeps is not taken for streams."""

_MIB: Final = 2**20
_CALM_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes: of the edge alone, in the kernel's socket buffers, and of all objects in the kernel's slabs."""

    edge: Resident
    buffers: int
    slab: int

    @classmethod
    def of(cls, pid: int) -> Memory:
        """Now."""
        return cls(resident(pid), socket_memory(), slab_memory())


async def idle(settings: Settings, connections: int, show: Show) -> Result:
    """Memory of streams that hear nothing but heartbeats.

    Opening streams makes an allocator keep room, which then takes later streams for nothing. So memory is compared at
    three quiet moments: after some streams that came and went, with half of the streams, and with all of them. What
    counts is the larger of the growth over all streams and that over the second half.
    """
    half = connections // 2
    async with fresh_servers(settings, max(connections, WARM_UP), show) as servers:
        unused, fresh = descriptors(servers.edge_pid), Memory.of(servers.edge_pid)
        async with open_streams(settings, servers, min(WARM_UP, connections), show):
            show(f"{WARM_UP} streams came and go again")
        await _closed(servers, unused)
        warm, began = Memory.of(servers.edge_pid), time.monotonic()
        async with open_streams(settings, servers, connections - half, show) as first:
            some = Memory.of(servers.edge_pid)
            async with open_streams(settings, servers, half, show) as second:
                opened = time.monotonic() - began
                before, at = usage(servers.edge_pid), time.monotonic()
                await _pass(servers, settings.seconds, show)
                cpu = (usage(servers.edge_pid) - before).cpu / (time.monotonic() - at)
                full = Memory.of(servers.edge_pid)
                async with publishing_to(settings, servers, [*first, *second], show) as run:
                    await run.window(1.0, 2.0)
                    received, published = await run.drain()
    over_all = (full.edge.anonymous - warm.edge.anonymous) / connections
    over_half = (full.edge.anonymous - some.edge.anonymous) / max(1, half)
    since_start = (full.edge.anonymous - fresh.edge.anonymous) / connections
    return Result(
        "idle",
        f"{connections:,} idle streams",
        max(over_all, over_half),
        Aim(1536, "bytes per stream", at_most=True),
        {
            "bytes per stream, all of them": over_all,
            "bytes per stream, the second half": over_half,
            "bytes per stream since the edge started, one-time growth included": since_start,
            "edge PSS before its first stream, MiB": fresh.edge.pss / _MIB,
            "edge PSS with all streams, MiB": full.edge.pss / _MIB,
            "kernel: socket buffers per stream, both ends, bytes": (full.buffers - warm.buffers) / connections,
            "kernel: all its objects per stream, both ends, bytes": (full.slab - warm.slab) / connections,
            "streams opened per second": connections / opened,
            "edge CPU while idle, share of its core": cpu,
        },
        faults=faults(received, published, connections),
    )


async def _closed(servers: Stack, unused: int) -> None:
    """Return when the edge has no more descriptors than before its first stream. Raises ChildFailed after 30 s."""
    until = time.monotonic() + _CALM_SECONDS
    while (left := descriptors(servers.edge_pid) - unused) > 0:
        if time.monotonic() > until:
            raise ChildFailed(f"the edge still has {left} descriptors {_CALM_SECONDS:g} s after its streams ended")
        await asyncio.sleep(0.1)


async def _pass(servers: Stack, seconds: float, show: Show) -> None:
    """Let time pass, telling the memory of each second."""
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        show(f"idle: the edge holds {resident(servers.edge_pid).pss / _MIB:.1f} MiB, {left:.0f} s left")
        await asyncio.sleep(min(1.0, left))
