"""Who reads during a run: in every way that there is, on every road."""

import random
from collections.abc import Mapping
from dataclasses import replace

from tests.faults.cluster import Cluster
from tests.faults.load import TENANTS, LoadBook
from tests.faults.poller import Poller
from tests.faults.readers import EVERYTHING, WatchedReader
from tests.proof.plan import FLIGHTS, ReaderPlan, Since
from tests.proof.reader import Tally

SOME = {
    FLIGHTS: (("flights.*.ATL",), ("flights.DFW.*", "flights.LAX.>", "flights.*.SEA")),
    "quakes": (("quakes.ci.*",), ("quakes.*.minor", "quakes.ak.>")),
}


def watchers(cluster: Cluster, books: Mapping[str, LoadBook], tally: Tally, seed: int) -> list[WatchedReader]:
    """For each tenant: those who want everything, plain and as browsers do, on each road; those who want some of it and
    break off by themselves; one who is slow; two who take gzip, and two who poll, each of all and of some; and one who
    comes when there are events, and begins with the newest of each topic."""
    edges = [edge.port for edge in cluster.edges]
    fronts = [front.port for front in cluster.fronts]
    roads = {"edges": edges, "proxies": fronts, "Caddy": [cluster.caddy.port]}
    dice = random.Random(f"watchers/{seed}")
    texts: dict[str, str] = {}
    found: list[WatchedReader] = []

    def add(road: str, kind: str, tenant: str, filters: tuple[str, ...]) -> None:
        name = f"{tenant} {kind} {len(found)} by {road}"
        since: Since = dice.choice(("now", "earliest"))
        plan = ReaderPlan(
            name, tenant, filters, since, True, 0.0, kind == "browser", kind == "slow", gzip=kind == "gzip"
        )
        if kind == "last":
            plan = replace(plan, since="last", early=False)
        reads = Poller if kind == "poll" else WatchedReader
        # Each begins at another edge, so that every edge is watched.
        found.append(reads(plan, roads[road], books[tenant], tally, texts, seed, first=len(found)))

    for tenant in TENANTS:
        for kind in ("plain", "browser", "plain"):
            for road in roads:
                add(road, kind, tenant, EVERYTHING)
        for filters in SOME[tenant]:
            add("edges", "plain", tenant, filters)
            add("Caddy", "browser", tenant, filters)
        add("edges", "slow", tenant, EVERYTHING)
        for kind in ("gzip", "poll"):
            add("edges", kind, tenant, EVERYTHING)
            add("Caddy", kind, tenant, SOME[tenant][0])
        add("proxies", "last", tenant, EVERYTHING)
    return found
