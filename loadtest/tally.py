"""Counts that the child processes report to their parent. They only grow; two reports differ by what happened since."""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any, BinaryIO, Self

import orjson

from loadtest.latency import Histogram


class Tally:
    """A dataclass of counts that adds (two processes) and subtracts (a later and an earlier state) field by field."""

    def __add__(self, other: Self) -> Self:
        return self._with(other, operator.add)

    def __sub__(self, earlier: Self) -> Self:
        return self._with(earlier, operator.sub)

    def _with(self, other: Self, combine: Callable[[Any, Any], Any]) -> Self:
        names = [each.name for each in fields(self)]  # type: ignore[arg-type]
        return type(self)(**{name: combine(getattr(self, name), getattr(other, name)) for name in names})


@dataclass(slots=True)
class Findings(Tally):
    """What the inspected connections of a process saw, all together.

    events: published events; disordered: those whose sequence number was not above the one before; missing: numbers
    left out between two events and not told by a gap (a fault only where the filter takes the whole stream);
    duplicated: events that the same client had before, counted where it is told to remember them;
    gaps, errors: `stream.gap` frames, and `error` frames by their data; latency: publish to receipt;
    segments: TCP segments with data, so `events / segments` is how many events the sender wrote at once, however
    slow the reader was.
    """

    events: int = 0
    disordered: int = 0
    missing: int = 0
    segments: int = 0
    gaps: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    latency: Histogram = field(default_factory=Histogram)
    duplicated: int = 0


@dataclass(slots=True)
class Received(Tally):
    """What a reader process did since its start.

    events, bytes: received on all connections; reads: calls that returned data; failed: connections that never
    streamed, by reason; ended: those that did and were ended by the other side; cpu_seconds: of this process.
    """

    cpu_seconds: float = 0.0
    events: int = 0
    bytes: int = 0
    reads: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    ended: Counter[str] = field(default_factory=Counter)
    inspected: Findings = field(default_factory=Findings)


@dataclass(slots=True)
class Published(Tally):
    """What a publisher process did since its start.

    sent: publishes; acked: acknowledged by JetStream; failed: not acknowledged, by reason; late: how often the
    publisher was so late that it gave up catching up.
    """

    cpu_seconds: float = 0.0
    sent: int = 0
    acked: int = 0
    late: int = 0
    failed: Counter[str] = field(default_factory=Counter)


@dataclass(slots=True)
class ReaderReport:
    """Received so far at `at_ns` (monotonic), with `live` streams now and `opening` still to be opened.

    asked: an answer to the command `report`.
    """

    at_ns: int
    asked: bool
    live: int
    opening: int
    received: Received


@dataclass(slots=True)
class PublisherReport:
    """Published so far at `at_ns` (monotonic). asked: an answer to the command `report`."""

    at_ns: int
    asked: bool
    published: Published


def write(report: object, out: BinaryIO) -> None:
    """Write a report, a dataclass, as one JSON line."""
    out.write(orjson.dumps(report, default=_buckets, option=orjson.OPT_NON_STR_KEYS | orjson.OPT_APPEND_NEWLINE))
    out.flush()


def _buckets(value: object) -> object:
    if isinstance(value, Histogram):
        return value.buckets
    raise TypeError(f"a report holds a {type(value).__name__}, which has no JSON form")


def reader_report(line: bytes) -> ReaderReport:
    """A reader's report from its line. Raises ValueError or TypeError when the line is something else."""
    given = orjson.loads(line)
    received = given.pop("received")
    inspected = received.pop("inspected")
    latency = Histogram.parse(inspected.pop("latency"))
    errors = Counter(inspected.pop("errors"))
    failed, ended = Counter(received.pop("failed")), Counter(received.pop("ended"))
    findings = Findings(**inspected, errors=errors, latency=latency)
    return ReaderReport(**given, received=Received(**received, failed=failed, ended=ended, inspected=findings))


def publisher_report(line: bytes) -> PublisherReport:
    """A publisher's report from its line. Raises ValueError or TypeError when the line is something else."""
    given = orjson.loads(line)
    published = given.pop("published")
    failed = Counter(published.pop("failed"))
    return PublisherReport(**given, published=Published(**published, failed=failed))
