"""Looks at all processes of a run, once a second and whenever it is asked."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from loadtest.procfs import resident, socket_memory, usage
from loadtest.restartable import Restartable
from loadtest.roamed import ProducerReport, RoamReport
from loadtest.sample import Footprint, Sample, Snapshot, sample
from loadtest.servers import Stack
from loadtest.worker import Worker

_EVERY_SECONDS: Final = 1.0
_LEAST_SECONDS: Final = 0.2
"""Two looks that are nearer make a point that is mostly noise."""


class Sampler:
    """The time series of a run; `clock` is its seconds, 0 when the first connection is opened."""

    def __init__(
        self,
        servers: Stack,
        clients: Sequence[Worker[RoamReport]],
        producer: Worker[ProducerReport],
        told: Callable[[Sample], None],
    ) -> None:
        self._servers = servers
        self._clients = clients
        self._producer = producer
        self._told = told
        self._began = time.monotonic()
        self.samples: list[Sample] = []

    def clock(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self._began

    async def snapshot(self) -> Snapshot:
        """Ask everybody now. Raises ChildFailed when a process of clients or the producer does not answer."""
        pods = [footprint(pod.server) for pod in self._servers.pods]
        nats, sockets, at = footprint(self._servers.nats), socket_memory(), self.clock()
        clients = await asyncio.gather(*(worker.report() for worker in self._clients))
        return Snapshot(at, clients, await self._producer.report(), pods, nats, sockets)

    async def run(self) -> None:
        """A sample every second, for ever."""
        early = await self.snapshot()
        while True:
            # At whole seconds, so that a slow look does not shift those behind it.
            await asyncio.sleep(max(_LEAST_SECONDS, _EVERY_SECONDS - self.clock() % _EVERY_SECONDS))
            late = await self.snapshot()
            self.samples.append(sample(early, late))
            self._told(self.samples[-1])
            early = late


def footprint(server: Restartable) -> Footprint | None:
    """The process of the server now; None when it is away."""
    try:
        pid = server.pid
        if not Path(f"/proc/{pid}/smaps_rollup").exists():
            return None
        used, at = usage(pid), time.monotonic()
        return Footprint(pid, at, used.cpu, used.waited, resident(pid).pss)
    except (ValueError, IndexError, ProcessLookupError, FileNotFoundError):  # It ended between two of the looks.
        return None
