"""What a fault may touch: the servers, the readers, the publishers' books; and the tenants it makes for itself."""

import asyncio
import itertools
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.faults.cluster import DRAIN_SECONDS, Cluster
from tests.faults.control import Control
from tests.faults.load import Load, LoadBook
from tests.faults.readers import WatchedReader
from tests.process import ServerProcess
from tests.proof.checker import Verdict

RESTART_SECONDS = 30.0
DRAIN_GRACE_SECONDS = 5.0


class Violation(Exception):
    """A promise was broken that only this fault can judge; the message says which."""


@dataclass(slots=True)
class World:
    """The run, as a fault sees it.

    visitors: readers of the watched tenants that came for one fault; they are judged like the others. planned: servers
    that may be away now; the watch minds all others. verdict: on tenants that the fault made for
    itself, of the step that runs.
    """

    cluster: Cluster
    control: Control
    books: dict[str, LoadBook]
    readers: Sequence[WatchedReader]
    load: Load
    visitors: list[WatchedReader] = field(default_factory=list)
    planned: set[str] = field(default_factory=set)
    verdict: Verdict = field(default_factory=Verdict)
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def fresh(self, kind: str) -> str:
        """The name of a tenant that nobody has had yet."""
        return f"{kind}-{next(self._numbers)}"

    def busy(self, dice: random.Random) -> int:
        """The number of an edge that is read from: what befalls another is seen by nobody."""
        ports = {reader.port for reader in self.readers if reader.pulse is not None}
        pairs = zip(self.cluster.edges, self.cluster.fronts, strict=True)
        read = [number for number, (edge, front) in enumerate(pairs) if {edge.port, front.port} & ports]
        return dice.choice(read or range(len(self.cluster.edges)))

    @contextmanager
    def away(self, *servers: ServerProcess) -> Iterator[None]:
        """These servers may be away; afterwards all of them run, or the run fails."""
        self.planned.update(server.name for server in servers)
        try:
            yield
        finally:
            for server in servers:
                server.resume()
                if not server.alive:
                    server.spawn()
            self.planned.difference_update(server.name for server in servers)

    async def back(self, *servers: ServerProcess) -> None:
        """Wait until these serve again. Raises ServerError."""
        async with asyncio.TaskGroup() as group:
            for server in servers:
                group.create_task(server.wait_ready(seconds=RESTART_SECONDS), name=f"{server.name} back")

    async def drain(self, server: ServerProcess) -> float:
        """End an edge by SIGTERM; the seconds it took. Raises Violation when it did not end in order and in time."""
        began = asyncio.get_running_loop().time()
        status = await server.terminate(seconds=DRAIN_SECONDS + DRAIN_GRACE_SECONDS)
        if status != 0:
            raise Violation(f"{server.name} ended its drain with status {status}")
        return asyncio.get_running_loop().time() - began
