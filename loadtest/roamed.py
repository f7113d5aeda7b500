"""What the processes of a scenario report: clients that roam, and the producer. As `tally` has it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from loadtest.latency import Histogram
from loadtest.tally import Findings, Tally

END_OF_STREAM: Final = "end of stream"
"""How a stream ends that the other side closed in good order."""


@dataclass(slots=True)
class Roamed(Tally):
    """What a process of clients did since its start.

    events, bytes, reads: on all connections; opened: streams begun; churned: closed by us, to come back; failed: no
    stream was got, by reason; ended: streams that the other side ended, by reason. first_ns, opened_ns: monotonic
    times of the first connect and of the newest stream, which do not add. inspected: its latency is that of live
    events; missed: times from publish to read of events that the same clients missed while they were away.
    """

    cpu_seconds: float = 0.0
    events: int = 0
    bytes: int = 0
    reads: int = 0
    opened: int = 0
    churned: int = 0
    first_ns: int = 0
    opened_ns: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    ended: Counter[str] = field(default_factory=Counter)
    inspected: Findings = field(default_factory=Findings)
    missed: Histogram = field(default_factory=Histogram)


@dataclass(slots=True)
class RoamReport:
    """Done so far at `at_ns` (monotonic), with `live` streams and `away` clients that have none now.

    asked: an answer to a command; counts: the events of each client, where it was asked for.
    """

    at_ns: int
    asked: bool
    live: int
    away: int
    roamed: Roamed
    counts: list[int]


@dataclass(slots=True)
class Produced(Tally):
    """What the producer did since its start.

    sent: events; acked: of these acknowledged, each once; again: publishes that were repeated, by what went wrong;
    late: how often it was so late that it gave up catching up.
    """

    cpu_seconds: float = 0.0
    sent: int = 0
    acked: int = 0
    late: int = 0
    again: Counter[str] = field(default_factory=Counter)


@dataclass(slots=True)
class ProducerReport:
    """Published so far at `at_ns` (monotonic). counts: acknowledged events of each topic, where it was asked for."""

    at_ns: int
    asked: bool
    produced: Produced
    counts: list[int]


def roam_report(line: bytes) -> RoamReport:
    """A report of clients from its line. Raises ValueError or TypeError when the line is something else."""
    given = orjson.loads(line)
    roamed = given.pop("roamed")
    inspected = roamed.pop("inspected")
    latency, missed = Histogram.parse(inspected.pop("latency")), Histogram.parse(roamed.pop("missed"))
    findings = Findings(**_counted(inspected, "errors"), latency=latency)
    return RoamReport(**given, roamed=Roamed(**_counted(roamed, "failed", "ended"), inspected=findings, missed=missed))


def producer_report(line: bytes) -> ProducerReport:
    """A producer's report from its line. Raises ValueError or TypeError when the line is something else."""
    given = orjson.loads(line)
    produced = given.pop("produced")
    return ProducerReport(**given, produced=Produced(**_counted(produced, "again")))


def _counted(fields: dict[str, Any], *names: str) -> dict[str, Any]:
    return fields | {name: Counter(fields[name]) for name in names}
