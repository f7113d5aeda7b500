"""`python -m loadtest.laggards`: what readers that stop reading cost the others, and the edge.

Some of many readers stop: their process is stopped, so that their sockets stay open and fill up. Measured is the
latency of the others before, meanwhile and after, the memory of the edge and of the kernel's socket buffers, and that
each of those that stopped is closed as a slow consumer.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Final

from loadtest.bench import fitting
from loadtest.command import carry_out, parser
from loadtest.machine import raise_descriptor_limit
from loadtest.measure import TARGET, Run, Settings, Show, Window, faults, open_streams, publishing_to
from loadtest.monitoring import status
from loadtest.procfs import resident, socket_memory
from loadtest.readers import Plan
from loadtest.result import Aim, Result, limits
from loadtest.servers import Stack, stack
from loadtest.tally import ReaderReport
from loadtest.worker import Worker, reader_process
from slipstream.cli.dev.ports import HOST

EACH_MOST: Final = 1024 * 1024
"""Bytes of socket buffers, both ends, beyond which a reader that stopped is said to have no bound: the edge's send
buffer (128 KiB, which the kernel doubles) and the reader's receive buffer (at first 128 KiB here) take about half."""

EDGE_EACH_MOST: Final = 64 * 1024
"""Bytes of the edge's own memory for each of them: an unsent tail is one frame."""

_OPEN_SECONDS: Final = 30.0
_SETTLE_SECONDS: Final = 2.0
_LOOK_SECONDS: Final = 0.5
_FILL_SECONDS: Final = 60.0
"""How long the buffers of a reader that stopped may take until they are full."""


@dataclass(slots=True)
class Peak:
    """The most bytes within a time: of the edge's own memory, and in all TCP sockets of the machine."""

    edge: int = 0
    buffers: int = 0

    def look(self, pid: int) -> None:
        """Take in what they are now."""
        self.edge = max(self.edge, resident(pid).anonymous)
        self.buffers = max(self.buffers, socket_memory())

    def __sub__(self, other: Peak) -> Peak:
        return Peak(self.edge - other.edge, self.buffers - other.buffers)


@dataclass(frozen=True, slots=True)
class Load:
    """connections: all readers; stopping: those of them that stop; rate: events/s; deadline: for a write, seconds."""

    connections: int
    stopping: int
    rate: float
    deadline: float


async def laggards(settings: Settings, load: Load, show: Show) -> Result:
    """Measure as long before as after; meanwhile lasts until the last of those that stopped is closed."""
    reading = load.connections - load.stopping
    environment = {"SLIPSTREAM_WRITE_DEADLINE": f"{load.deadline:g}"}
    show("starting nats-server and the edge")
    servers_ = stack(
        settings.cores,
        connections=load.connections,
        store=settings.store,
        loop=settings.loop,
        settings=environment,
    )
    async with (
        servers_ as servers,
        open_streams(settings, servers, reading, show) as groups,
        _stopping(settings, servers, load.stopping) as slow,
        publishing_to(settings, servers, groups, show) as run,
    ):
        async with _peak(servers.edge_pid) as usual:
            before = await run.window(settings.seconds, load.rate, settle=_SETTLE_SECONDS)
        with _stopped(slow.pid):
            began = time.monotonic()
            async with _peak(servers.edge_pid) as full:
                meanwhile, closed = await _meanwhile(run, load, show)
            lasted = time.monotonic() - began
            after = await run.window(settings.seconds, load.rate)
            left = Peak()
            left.look(servers.edge_pid)
        received, published = await run.drain()
    grown, kept = full - usual, left - usual
    ratio = _ratio(meanwhile.latency_ms(99), before.latency_ms(99))
    return Result(
        "laggards",
        f"{load.connections:,} streams, {load.rate:g} events/s, {load.stopping:,} of them stop reading",
        ratio,
        Aim(1.25, "times the p99 of before, while they lag", at_most=True),
        {
            "p99 of the others before, ms": before.latency_ms(99),
            "p99 of the others meanwhile, ms": meanwhile.latency_ms(99),
            "p99 of the others after, ms": after.latency_ms(99),
            "p50 of the others before, ms": before.latency_ms(50),
            "p50 of the others meanwhile, ms": meanwhile.latency_ms(50),
            "p50 of the others after, ms": after.latency_ms(50),
            "closed as slow consumers": closed,
            "seconds until the last of them was closed": lasted,
            "socket buffers at most, more bytes for each of them": grown.buffers / load.stopping,
            "socket buffers at the end, more bytes for each of them": kept.buffers / load.stopping,
            "edge at most, more bytes for each of them": grown.edge / load.stopping,
            "edge at the end, more bytes for each of them": kept.edge / load.stopping,
            "deliveries/s before": before.delivered,
            "deliveries/s meanwhile": meanwhile.delivered,
        },
        limits([(load.rate, window) for window in (before, meanwhile, after)]),
        [*faults(received, published, reading), *unbounded(grown, load.stopping, closed)],
    )


def unbounded(grown: Peak, stopping: int, closed: int) -> list[str]:
    """What must not happen with readers that stop, in words."""
    told = []
    if closed != stopping:
        told.append(f"{closed:,} streams were closed as slow consumers, not the {stopping:,} that stopped")
    if grown.buffers > stopping * EACH_MOST:
        told.append(f"a reader that stopped took {grown.buffers // stopping:,} bytes of socket buffers")
    if grown.edge > stopping * EDGE_EACH_MOST:
        told.append(f"a reader that stopped took {grown.edge // stopping:,} bytes of the edge's memory")
    return told


async def _meanwhile(run: Run, load: Load, show: Show) -> tuple[Window, int]:
    """Until all that stopped are closed, or ought to be; what happened to the others, and how many were closed."""
    begin = await run.moment()
    until = time.monotonic() + _FILL_SECONDS + load.deadline
    closed = 0
    while closed < load.stopping and time.monotonic() < until:
        await asyncio.sleep(_LOOK_SECONDS)
        closed = (await status(run.stack))["endings"].get("slow_consumer", 0)
        show(f"{load.stopping} have stopped: {closed} of them closed, {socket_memory() / 2**20:.1f} MiB in sockets")
    return Window.between(begin, await run.moment()), closed


@asynccontextmanager
async def _peak(pid: int) -> AsyncIterator[Peak]:
    """What is found in looks twice a second within the block."""
    peak = Peak()
    peak.look(pid)

    async def looking() -> None:
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            peak.look(pid)

    task = asyncio.create_task(looking(), name="memory")
    try:
        yield peak
    finally:
        task.cancel()
    if task.done():
        task.result()
    peak.look(pid)


@asynccontextmanager
async def _stopping(settings: Settings, servers: Stack, count: int) -> AsyncIterator[Worker[ReaderReport]]:
    """A process with the readers that will stop; all of them are open."""
    plan = Plan(HOST, servers.port, TARGET, count, pause_seconds=0.02)
    reading = reader_process(plan, name="stopping", folder=servers.folder, cores=settings.cores.others)
    async with reading as worker:
        await worker.until(lambda report: report.live == count, _OPEN_SECONDS, "open its connections")
        yield worker


@contextmanager
def _stopped(pid: int) -> Iterator[None]:
    """The process does nothing within the block."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def _ratio(one: float | None, other: float | None) -> float | None:
    return one / other if one and other else None


def main(arguments: Sequence[str]) -> int:
    """Entry point."""
    made = parser("loadtest.laggards", __doc__, connections=5_000, seconds=10)
    made.add_argument("--rate", type=float, default=100, help="events a second (default 100)")
    made.add_argument("--stopping", type=int, default=200, metavar="N", help="readers that stop (default 200)")
    made.add_argument("--deadline", type=float, default=10, help="of a write, seconds (default 10, the edge's is 30)")
    options = made.parse_args(arguments)
    return carry_out("laggards", options, lambda settings, show: _run(options, settings, show))


async def _run(options: argparse.Namespace, settings: Settings, show: Show) -> Result:
    connections, _ = fitting(options.connections, raise_descriptor_limit())
    return await laggards(settings, Load(connections, options.stopping, options.rate, options.deadline), show)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
