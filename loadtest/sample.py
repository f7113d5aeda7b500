"""What happened between two looks at everything: one point of each curve. Pure."""

from __future__ import annotations

import functools
import operator
from collections.abc import Sequence
from dataclasses import dataclass

from loadtest.roamed import ProducerReport, Roamed, RoamReport


@dataclass(frozen=True, slots=True)
class Footprint:
    """A process at monotonic second `at`: seconds so far on a core and waiting for one, memory in bytes (Pss)."""

    pid: int
    at: float
    cpu: float
    waited: float
    memory: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All counts at one time. at: seconds on the clock of the run; a process that is away has None.

    sockets: bytes in the buffers of all TCP sockets of the machine.
    """

    at: float
    clients: Sequence[RoamReport]
    producer: ProducerReport
    pods: Sequence[Footprint | None]
    nats: Footprint | None
    sockets: int

    @property
    def live(self) -> int:
        """Streams that are open."""
        return sum(report.live for report in self.clients)


@dataclass(frozen=True, slots=True)
class Load:
    """What a process took meanwhile: shares of the time on a core and waiting for one, memory at the end in bytes."""

    cpu: float
    waited: float
    memory: int


@dataclass(frozen=True, slots=True)
class Sample:
    """What happened in the `seconds` before `at`. Rates are per second; times in ms, None where nothing was measured.

    came, left: streams begun, and those that ended, by the other side or by churn.
    """

    at: float
    seconds: float
    published: float
    delivered: float
    live: int
    came: float
    left: float
    p50_ms: float | None
    p99_ms: float | None
    pods: Sequence[Load | None]
    nats: Load | None
    sockets: int


def sample(early: Snapshot, late: Snapshot) -> Sample:
    """The point between two snapshots; each process's rates are by its own clock, since it answers when it can."""
    done = together(early, late)
    return Sample(
        at=late.at,
        seconds=late.at - early.at,
        published=published(early, late),
        delivered=delivered(early, late),
        live=late.live,
        came=done.opened / (late.at - early.at),
        left=(done.ended.total() + done.churned) / (late.at - early.at),
        p50_ms=milliseconds(done, 50),
        p99_ms=milliseconds(done, 99),
        pods=[load(before, after) for before, after in zip(early.pods, late.pods, strict=True)],
        nats=load(early.nats, late.nats),
        sockets=late.sockets,
    )


def delivered(early: Snapshot, late: Snapshot) -> float:
    """Events a second that all clients got."""
    return sum(
        (new.roamed.events - old.roamed.events) * 1e9 / (new.at_ns - old.at_ns)
        for old, new in zip(early.clients, late.clients, strict=True)
        if new.at_ns > old.at_ns
    )


def published(early: Snapshot, late: Snapshot) -> float:
    """Events a second that the producer sent."""
    seconds = (late.producer.at_ns - early.producer.at_ns) / 1e9
    return (late.producer.produced.sent - early.producer.produced.sent) / seconds if seconds > 0 else 0.0


def together(early: Snapshot, late: Snapshot) -> Roamed:
    """What all clients did between the two."""
    parts = [new.roamed - old.roamed for old, new in zip(early.clients, late.clients, strict=True)]
    return functools.reduce(operator.add, parts)


def milliseconds(done: Roamed, percent: float) -> float | None:
    """A percentile of the time from just before the first publish to the read."""
    found = done.inspected.latency.percentile(percent)
    return None if found is None else found / 1e6


def load(early: Footprint | None, late: Footprint | None) -> Load | None:
    """What a process took; None unless it is the same process at both times."""
    if early is None or late is None or early.pid != late.pid or late.at <= early.at:
        return None
    seconds = late.at - early.at
    return Load((late.cpu - early.cpu) / seconds, (late.waited - early.waited) / seconds, late.memory)
