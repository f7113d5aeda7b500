"""What a scenario came to: totals, aims met and missed, and faults. Pure."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from loadtest.kills import Mark
from loadtest.result import SUSTAINED, Aim
from loadtest.roamed import END_OF_STREAM, Produced, Roamed
from loadtest.sample import Load, Sample, Snapshot, delivered, milliseconds, published, together
from loadtest.scenario import Aims, Scenario

_WAITED_MOST: Final = 0.05


@dataclass(frozen=True, slots=True)
class Account:
    """What the clients that read all they can are due, and what they had. Slow readers are not among them.

    clients: how many; due: events; lost, repeated: too few and too many, summed over the clients without setting one
    off against the other.
    """

    clients: int
    due: int
    lost: int
    repeated: int

    @classmethod
    def of(cls, due: Sequence[int], had: Sequence[int]) -> Account:
        """The account of clients in the same order."""
        pairs = list(zip(due, had, strict=True))
        return cls(
            len(pairs),
            sum(due),
            sum(max(0, wanted - got) for wanted, got in pairs),
            sum(max(0, got - wanted) for wanted, got in pairs),
        )


@dataclass(frozen=True, slots=True)
class Measured:
    """The time between the two moments that aims are judged by. Rates per second; `done` is of all clients."""

    begin: float
    end: float
    published: float
    delivered: float
    done: Roamed

    @classmethod
    def between(cls, early: Snapshot, late: Snapshot) -> Measured:
        """What happened between the two."""
        return cls(early.at, late.at, published(early, late), delivered(early, late), together(early, late))


@dataclass(frozen=True, slots=True)
class Established:
    """How fast connections are opened; None where it was not measured.

    streams: that were opened at once, and how many a second that made; wrk: what wrk printed, its requests a second.
    """

    streams: int = 0
    streams_per_second: float | None = None
    requests_per_second: float | None = None
    wrk: str = ""


@dataclass(frozen=True, slots=True)
class Library:
    """The readers of `slipstream.client` on their own; they are in the account and the total of all, too."""

    account: Account
    done: Roamed

    @property
    def returned(self) -> int:
        """Streams that were opened by somebody who had had one."""
        return self.done.opened - self.account.clients


@dataclass(frozen=True, slots=True)
class Outcome:
    """Everything that is told of a run.

    phases: name, begin and end on the clock of the run; total: of all clients from begin to end; stored: messages in
    the tenant's stream; missing_clients: those that were due to be live at the end, and were not; endings: what the
    edges that still ran said about why streams ended.
    """

    name: str
    scenario: Scenario
    conditions: dict[str, str]
    samples: Sequence[Sample]
    marks: Sequence[Mark]
    phases: Sequence[tuple[str, float, float]]
    measured: Measured
    total: Roamed
    produced: Produced
    stored: int
    account: Account
    library: Library
    missing_clients: int
    endings: Counter[str] = field(default_factory=Counter)
    established: Established = field(default_factory=Established)

    @property
    def lost(self) -> int:
        """Events that clients did not get: by each client's count, or by holes in the numbers of the inspected ones."""
        holes = self.total.inspected.missing if self.scenario.topics.each == "all" else 0
        return max(self.account.lost, holes)

    @property
    def duplicated(self) -> int:
        """Events that clients had twice: by each client's count, or by the numbers of the inspected ones."""
        return max(self.account.repeated, self.total.inspected.duplicated)

    @property
    def broken(self) -> int:
        """Streams that ended by a reset, or inside their framing."""
        return self.total.ended.total() - self.total.ended[END_OF_STREAM]

    def reached(self) -> dict[str, float | None]:
        """What stands against the aims, by the names of `Aims`."""
        return {
            "deliveries_per_second": self.measured.delivered,
            "published_per_second": self.measured.published,
            "p50_ms": milliseconds(self.measured.done, 50),
            "p99_ms": milliseconds(self.measured.done, 99),
            "lost": self.lost,
            "duplicated": self.duplicated,
            "broken": self.broken,
        }

    def faults(self) -> list[str]:
        """Broken promises, in words."""
        found = self.total.inspected
        counts = {
            "events lost": self.lost,
            "events duplicated": self.duplicated,
            "events out of order": found.disordered,
            "events not acknowledged": self.produced.sent - self.produced.acked,
            "events stored that were not acknowledged, or twice": max(0, self.stored - self.produced.acked),
            "acknowledged events not stored": max(0, self.produced.acked - self.stored),
            "clients without a stream at the end": self.missing_clients,
        }
        if not self.scenario.kills:
            counts |= {
                "streams refused": self.total.failed.total(),
                "gap frames": found.gaps,
            }
            if not self.scenario.slow_connections:
                counts["streams ended by the edge"] = self.total.ended.total()
        return [f"{count:,} {what}" for what, count in counts.items() if count]

    def loads(self, pod: int) -> list[Load]:
        """What a pod took in each second of the measured time in which it was there."""
        measured = (one for one in self.samples if self.measured.begin < one.at <= self.measured.end)
        return [load for one in measured if (load := one.pods[pod]) is not None]

    def waited(self) -> float:
        """The most of the measured time that a pod was ready to run and had to wait for its core, as a share."""
        pods = (self.loads(pod) for pod in range(self.scenario.pods))
        return max((statistics.fmean(load.waited for load in loads) for loads in pods if loads), default=0.0)

    def notes(self) -> list[str]:
        """What limits the meaning of the figures."""
        told = []
        if (waited := self.waited()) > _WAITED_MOST:
            told.append(
                f"A pod was ready to run and had to wait for its core {waited:.0%} of the time, for other pods or for "
                "other work on this machine: latency is that much higher, and rates may be lower, than its own."
            )
        if self.measured.published < SUSTAINED * self.scenario.rate:
            told.append(
                f"The producer reached {self.measured.published / self.scenario.rate:.0%} of its rate, so that less "
                "was offered than the scenario says."
            )
        if self.scenario.kills and self.total.inspected.gaps:
            told.append(f"{self.total.inspected.gaps:,} `stream.gap` frames told of events that may be missing.")
        if slow := self.scenario.slow_connections:
            told.append(
                f"{slow:,} slow readers are not in the account: they are behind by design, and learn of the end of "
                "their stream only when they have read all that is before it."
            )
        return told


_UNITS = {
    "deliveries_per_second": ("deliveries", "deliveries/s", False),
    "published_per_second": ("events published", "events/s", False),
    "p50_ms": ("latency, p50", "ms", True),
    "p99_ms": ("latency, p99", "ms", True),
    "lost": ("events lost", "events", True),
    "duplicated": ("events duplicated", "events", True),
    "broken": ("streams broken", "streams", True),
}


@dataclass(frozen=True, slots=True)
class Judgement:
    """One aim, what was reached, and whether that is good enough."""

    what: str
    aim: Aim
    reached: float | None

    @property
    def met(self) -> bool:
        """Whether it was met; what could not be measured was not."""
        return self.reached is not None and self.aim.met(self.reached)


def judge(aims: Aims, reached: dict[str, float | None]) -> list[Judgement]:
    """All aims that are set, in a fixed order."""
    judged = []
    for name, (what, unit, at_most) in _UNITS.items():
        value = getattr(aims, name)
        if value is not None:
            judged.append(Judgement(what, Aim(value, unit, at_most=at_most), reached[name]))
    return judged
