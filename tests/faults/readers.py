"""The readers of a run: those of the proof, with a pulse, on every road that a reader can take."""

import asyncio
import random
from collections.abc import Mapping, Sequence

from tests.faults.cluster import Cluster
from tests.faults.load import TENANTS, LoadBook
from tests.faults.pulse import Pulse
from tests.proof.book import Book
from tests.proof.checker import Delivery
from tests.proof.plan import FLIGHTS, ReaderPlan, Since
from tests.proof.reader import Reader, Tally
from tests.sse import Parsed

EVERYTHING = (">",)
SOME = {
    FLIGHTS: (("flights.*.ATL",), ("flights.DFW.*", "flights.LAX.>", "flights.*.SEA")),
    "quakes": (("quakes.ci.*",), ("quakes.*.minor", "quakes.ak.>")),
}


class WatchedReader(Reader):
    """A reader that keeps the time of what it gets, and as a browser waits as long as the server asked.

    pulse: None where it does not want everything, and so cannot tell a pause from quiet, or makes pauses by itself.
    """

    def __init__(
        self,
        plan: ReaderPlan,
        ports: Sequence[int],
        book: Book,
        tally: Tally,
        texts: dict[str, str],
        seed: int,
        *,
        first: int,
    ) -> None:
        super().__init__(plan, ports, book, tally, texts, seed)
        self._turn = first
        self.cutting = plan.filters != EVERYTHING
        self.pulse = None if self.cutting or plan.slow else Pulse(plan.name)
        self._retry_ms: int | None = None

    @property
    def port(self) -> int:
        """Where it reads, or tries to."""
        return self._ports[self._turn % len(self._ports)]

    def _take(self, event: Parsed) -> bool:
        before = len(self.history.items)
        goes_on = super()._take(event)
        if event.retry is not None:
            self._retry_ms = event.retry
        if self.pulse and len(self.history.items) > before and isinstance(self.history.items[-1], Delivery):
            self.pulse.beat(asyncio.get_running_loop().time())
        return goes_on

    async def _wait(self) -> None:
        if self.plan.browser and self._retry_ms is not None:
            await asyncio.sleep(self._retry_ms / 1000)
        else:
            await super()._wait()


def watchers(cluster: Cluster, books: Mapping[str, LoadBook], tally: Tally, seed: int) -> list[WatchedReader]:
    """For each tenant: those who want everything, plain and as browsers do, on each road; those who want some of it and
    break off by themselves; and one who is slow."""
    edges = [edge.port for edge in cluster.edges]
    fronts = [front.port for front in cluster.fronts]
    roads = {"edges": edges, "proxies": fronts, "Caddy": [cluster.caddy.port]}
    dice = random.Random(f"watchers/{seed}")
    texts: dict[str, str] = {}
    found: list[WatchedReader] = []

    def add(road: str, kind: str, tenant: str, filters: tuple[str, ...]) -> None:
        name = f"{tenant} {kind} {len(found)} by {road}"
        since: Since = dice.choice(("now", "earliest"))
        plan = ReaderPlan(name, tenant, filters, since, True, 0.0, kind == "browser", kind == "slow")
        # Each begins at another edge, so that every edge is watched.
        found.append(WatchedReader(plan, roads[road], books[tenant], tally, texts, seed, first=len(found)))

    for tenant in TENANTS:
        for kind in ("plain", "browser", "plain"):
            for road in roads:
                add(road, kind, tenant, EVERYTHING)
        for filters in SOME[tenant]:
            add("edges", "plain", tenant, filters)
            add("Caddy", "browser", tenant, filters)
        add("edges", "slow", tenant, EVERYTHING)
    return found
