"""What a run does, drawn from its seed before it begins: readers, bursts of events, faults. Pure."""

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final, Literal, Self

from slipstream import demo
from tests.proof.checker import Event

FLIGHTS: Final = "flights"
QUAKES: Final = "quakes"
BROWSERS: Final = 0.15
"""Part of the readers that parse by a browser's rules, which costs several times as much."""

_FILTERS: Final[dict[str, tuple[tuple[str, ...], ...]]] = {
    FLIGHTS: (
        (">",),
        ("flights.>",),
        ("flights.*.SFO",),
        ("flights.ORD.*",),
        ("*.LAX.>",),
        ("*.*.ATL",),
        ("flights.EWR.ORD",),
        ("flights.DFW.STL", "flights.LAX.SJC", "flights.*.SEA", "flights.PHX.>"),
        ("flights.ATL.*", "flights.*.ATL"),
        ("flights.NOWHERE.>",),
    ),
    QUAKES: (
        (">",),
        ("quakes.>",),
        ("quakes.ci.*",),
        ("quakes.*.minor",),
        ("*.nc.>",),
        ("*.*.moderate",),
        ("quakes.ci.minor",),
        ("quakes.us.moderate", "quakes.ak.>", "quakes.*.strong"),
    ),
}

Since = Literal["now", "earliest", "time", "last"]


@dataclass(frozen=True, slots=True)
class Size:
    """How large a run is. span: seconds in which events and faults come. passes: how often all demo events come."""

    seed: int
    clients: int
    span: float
    passes: int

    @classmethod
    def of(cls, seed: int, clients: int, seconds: float) -> Self:
        """A run of about these seconds: two thirds under load, the rest for start, settling and judgement."""
        span = max(5.0, seconds * 2 / 3 - 2)
        return cls(seed, clients, span, max(1, round(span / 25)))


@dataclass(frozen=True, slots=True)
class ReaderPlan:
    """One reader: what it asks for, and when it comes.

    early: before the first event. joins: otherwise, seconds after the first event. browser: reads by a browser's rules,
    else by the contract's stricter ones. slow: stalls for seconds with a small receive buffer, until the edge cannot
    write to it any more. gzip: takes no other coding.
    """

    name: str
    tenant: str
    filters: tuple[str, ...]
    since: Since
    early: bool
    joins: float
    browser: bool
    slow: bool
    gzip: bool = False


@dataclass(frozen=True, slots=True)
class Item:
    """One event to publish. id: its Nats-Msg-Id, the same in every retry."""

    tenant: str
    id: str
    event: Event


@dataclass(frozen=True, slots=True)
class Burst:
    """Events that are published as fast as acknowledgements allow, beginning `at` seconds after the first."""

    at: float
    items: Sequence[Item]


@dataclass(frozen=True, slots=True)
class Fault:
    """The end of a server `at` seconds after the first event; it is started again `away` seconds after it is gone.

    drain: by SIGTERM, which must end in time and in order; else by SIGKILL.
    """

    at: float
    target: str
    away: float
    drain: bool = False


def readers(size: Size) -> list[ReaderPlan]:
    """Readers of both tenants with filters of every kind; half come before the first event, the rest during `span`."""
    dice = random.Random(f"readers/{size.seed}")
    plans = []
    for number in range(size.clients):
        tenant = FLIGHTS if number % 3 else QUAKES
        kinds = _FILTERS[tenant]
        # Every kind of filter occurs; a quarter of the readers wants everything, the heaviest case.
        filters = kinds[0] if number % 4 == 0 else kinds[number % len(kinds)]
        early = number % 2 == 0
        since: Since = dice.choice(("now", "earliest")) if early else dice.choice(("now", "earliest", "time"))
        joins = dice.uniform(0.1, 0.9) * size.span
        browser, slow = (
            dice.random() < BROWSERS,
            number % 8 == 0,
        )  # Slow ones want everything: only a flood makes a lag.
        plans.append(ReaderPlan(f"reader {number}", tenant, filters, since, early, joins, browser, slow))
    return plans


def bursts(size: Size) -> list[Burst]:
    """All demo events `passes` times, both tenants mixed, in bursts of 50 to 1,000 events over `span` seconds."""
    dice = random.Random(f"bursts/{size.seed}")
    items: list[Item] = []
    for number in range(size.passes):
        batch = [*demo_items(FLIGHTS, str(number)), *demo_items(QUAKES, str(number))]
        dice.shuffle(batch)
        items += batch
    cuts = [0]
    while cuts[-1] < len(items):
        cuts.append(min(len(items), cuts[-1] + dice.randint(50, 1000)))
    parts = [items[begin:end] for begin, end in pairwise(cuts)]
    moments = [0.0, *sorted(dice.uniform(0.0, size.span) for _ in parts[1:])]
    return [Burst(at, part) for at, part in zip(moments, parts, strict=True)]


def halves(plan: Sequence[Burst]) -> tuple[list[Burst], list[Burst]]:
    """The bursts that come with the faults, and the last fifth, to come at once after them."""
    body = len(plan) - len(plan) // 5
    return list(plan[:body]), [replace(burst, at=0.0) for burst in plan[body:]]


def last_fault(size: Size, nats: str) -> Fault:
    """The kill of nats-server inside the last fifth of the events, when both edges are up."""
    dice = random.Random(f"last/{size.seed}")
    return Fault(dice.uniform(0.02, 0.2), nats, dice.uniform(0.1, 1.0))


def faults(size: Size, edges: Sequence[str], nats: str) -> list[Fault]:
    """An end of every edge about each 8 s and of nats-server about each 15 s of `span`.

    Every fourth end of an edge is a drain. Half of all moments, and all those of nats-server, lie just behind the
    beginning of a burst, where publishes are unacknowledged and deliveries under way. A server's moments are spread
    over the span, and the edges' staggered, so that mostly one is up.
    """
    dice = random.Random(f"faults/{size.seed}")
    begins = [burst.at for burst in bursts(size)]
    plan: list[Fault] = []
    for target, every in (*((edge, 8.0) for edge in edges), (nats, 15.0)):
        times = max(1, round(size.span / every))
        phase = edges.index(target) / len(edges) if target in edges else 0.25
        for number in range(times):
            at = (number + phase + dice.uniform(0.0, 0.5)) * size.span / times
            if target == nats or dice.random() < 0.5:
                at = min(begins, key=lambda begin: abs(begin - at)) + dice.uniform(0.0, 0.1)
            plan.append(Fault(at, target, dice.uniform(0.1, 1.5), drain=target != nats and number % 4 == 3))
    return sorted(plan, key=lambda fault: fault.at)


def demo_items(tenant: str, turn: str) -> list[Item]:
    """All demo events of a tenant, with ids of their own in each turn."""
    if tenant == FLIGHTS:
        return [_item(FLIGHTS, f"{turn}/{at}", event) for at, event in enumerate(demo.flights())]
    return [_item(QUAKES, f"{turn}/{event['id']}", event) for event in demo.earthquakes()]


def _item(tenant: str, id_: str, event: demo.DemoEvent) -> Item:
    data = json.dumps(event["data"], ensure_ascii=False, separators=(",", ":"))
    return Item(tenant, id_, Event(event["topic"], event["event"], data))
