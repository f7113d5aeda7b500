"""Carries out the planned faults on the real processes, and notices every death that was not planned."""

import asyncio
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from tests.proof.plan import Fault
from tests.servers import Edge, ServerProcess

RESTART_SECONDS = 20.0
DRAIN_SECONDS = 2.0
DRAIN_GRACE_SECONDS = 5.0
UP_SECONDS = 1.5
"""A server that has come back is left alone so long, however late the machine is: only servers that serve lose."""
SMALL = {"SLIPSTREAM_RING_EVENTS": "40", "SLIPSTREAM_SNDBUF": "8192"}
WATCH_SECONDS = 0.1


@dataclass(slots=True)
class Chaos:
    """The servers of a run by name. kills: SIGKILLs that hit a living process, by server. drains: SIGTERMs."""

    servers: Mapping[str, ServerProcess]
    kills: Counter[str] = field(default_factory=Counter)
    drains: int = 0
    _planned: set[str] = field(default_factory=set)

    async def run(self, plan: Sequence[Fault]) -> None:
        """Carry out the plan. Raises ServerError when a server does not come back, or drain in time with status 0."""
        began = asyncio.get_running_loop().time()
        async with asyncio.TaskGroup() as group:
            for name in self.servers:
                own = [fault for fault in plan if fault.target == name]
                group.create_task(self._follow(began, own), name=f"faults {name}")

    async def _follow(self, began: float, plan: Sequence[Fault]) -> None:
        for fault in plan:
            await asyncio.sleep(max(0.0, began + fault.at - asyncio.get_running_loop().time()))
            await self._carry_out(fault)

    async def _carry_out(self, fault: Fault) -> None:
        server = self.servers[fault.target]
        self._planned.add(fault.target)
        if fault.drain:
            self.drains += 1
            status = await server.terminate(seconds=DRAIN_SECONDS + DRAIN_GRACE_SECONDS)
            if status != 0:
                raise server.failure(f"ended its drain with status {status}")
        else:
            self.kills[fault.target] += server.alive
            await server.kill()
        await asyncio.sleep(fault.away)
        if isinstance(server, Edge):
            alternate(server)
        server.spawn()
        self._planned.discard(fault.target)
        await server.wait_ready(seconds=RESTART_SECONDS)
        await asyncio.sleep(UP_SECONDS)

    async def watch(self) -> None:
        """Run for ever. Raises ServerError when a server ends that nobody killed."""
        await watch(self.servers.values(), self._planned)


async def watch(servers: Collection[ServerProcess], planned: AbstractSet[str]) -> None:
    """Run for ever. Raises ServerError when a server ends whose name is not planned to be away."""
    while True:
        await asyncio.sleep(WATCH_SECONDS)
        for server in servers:
            if server.name not in planned and not server.alive:
                raise server.failure(f"ended by itself with status {server.returncode}")


def alternate(edge: Edge) -> None:
    """Change between the default buffers and small ones: resumes come from JetStream, and readers soon lag."""
    if SMALL.items() <= edge.env.items():
        for key in SMALL:
            del edge.env[key]
    else:
        edge.env |= SMALL
