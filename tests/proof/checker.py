"""Judges what one reader got against what the publisher was promised. Pure: histories in, a verdict out."""

import re
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Final, NamedTuple

EXAMPLES: Final = 5
"""Faults of each reader that are put into words; all are counted."""

_ID: Final = re.compile(r"([a-z0-9]{8})-(0|[1-9][0-9]*)(?:-[0-9a-z]+)?(?:\.[A-Za-z0-9._-]+)?")


class Event(NamedTuple):
    """What the publisher sent, and got acknowledged under a sequence number."""

    topic: str
    name: str
    data: str


class Delivery(NamedTuple):
    """One event as a reader got it."""

    id: str
    name: str
    data: str


class Gap(NamedTuple):
    """A told loss: events up to and including `id`'s place are missing."""

    id: str
    reason: str


@dataclass(slots=True)
class History:
    """What one reader asked for and got, over all its connections.

    start: the sequence number after which its events begin: 0 for all of them.
    """

    name: str
    filters: tuple[str, ...]
    start: int = 0
    items: list[Delivery | Gap] = field(default_factory=list)


@dataclass(slots=True)
class Verdict:
    """Counts of what was checked and found, and some of the faults in words.

    lost: promised events that never came and that no gap told. corrupted: deliveries with other bytes, name or id than
    published, of other topics, or of no published event at all. gaps: told losses.
    """

    deliveries: int = 0
    lost: int = 0
    duplicated: int = 0
    out_of_order: int = 0
    corrupted: int = 0
    gaps: int = 0
    examples: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        """Whether every promise was kept."""
        return not (self.lost or self.duplicated or self.out_of_order or self.corrupted or self.gaps)

    def add(self, other: "Verdict") -> None:
        """Sum up another reader's verdict."""
        self.deliveries += other.deliveries
        self.lost += other.lost
        self.duplicated += other.duplicated
        self.out_of_order += other.out_of_order
        self.corrupted += other.corrupted
        self.gaps += other.gaps
        self.examples += other.examples


@cache
def place(id_: str) -> tuple[str, int] | None:
    """Epoch and sequence number of an event id, None when it is none. Cached: each comes to many readers."""
    found = _ID.fullmatch(id_)
    return (found[1], int(found[2])) if found else None


@cache
def matches(filters: tuple[str, ...], topic: str) -> bool:
    """Whether a topic is wanted: `*` is one token, a final `>` one or more. Cached: both are few in a run."""
    tokens = topic.split(".")
    return any(_matches(one.split("."), tokens) for one in filters)


def _matches(wanted: Sequence[str], tokens: Sequence[str]) -> bool:
    if wanted[-1] == ">":
        wanted, tokens = wanted[:-1], tokens[: len(wanted) - 1] if len(tokens) >= len(wanted) else ()
    return len(wanted) == len(tokens) and all(w in ("*", t) for w, t in zip(wanted, tokens, strict=True))


class Log:
    """The acknowledged events of one tenant by sequence number.

    ids: the id that each event had where it was first seen. All readers are held to it, for any pod must give an event
    the same id.
    """

    def __init__(self, events: Mapping[int, Event]) -> None:
        self.events = events
        self.ids: dict[int, str] = {}
        self._order = sorted(events)
        self._matching: dict[tuple[str, ...], list[int]] = {}

    def expected(self, filters: tuple[str, ...], start: int = 0) -> list[int]:
        """The sequence numbers that a reader of these filters must get after `start`, ascending."""
        if filters not in self._matching:
            self._matching[filters] = [seq for seq in self._order if matches(filters, self.events[seq].topic)]
        found = self._matching[filters]
        return found[bisect_right(found, start) :]


def judge(history: History, log: Log) -> Verdict:
    """The verdict on one reader of this log."""
    return _Judge(history, log).run()


class _Judge:
    def __init__(self, history: History, log: Log) -> None:
        self.history = history
        self.log = log
        self.wanted = log.expected(history.filters, history.start)
        self.missing = dict.fromkeys(self.wanted)
        self.seen: set[int] = set()
        self.last = 0
        self.epoch = ""
        self.verdict = Verdict()

    def run(self) -> Verdict:
        for item in self.history.items:
            if isinstance(item, Gap):
                self._gap(item)
            else:
                self._delivery(item)
        self.verdict.lost = len(self.missing)
        if self.missing:
            first = next(iter(self.missing))
            self._example(
                f"{len(self.missing)} of {len(self.wanted)} lost, first {first} {self.log.events[first].topic}"
            )
        return self.verdict

    def _gap(self, gap: Gap) -> None:
        self.verdict.gaps += 1
        self._example(f"gap {gap.reason} up to {gap.id} after {self.last}")
        where = place(gap.id)
        if where is None:
            return
        if self.epoch in ("", where[0]):
            for seq in range(self.last + 1, where[1] + 1):
                self.missing.pop(seq, None)
        self.epoch, self.last = where

    def _delivery(self, delivery: Delivery) -> None:
        self.verdict.deliveries += 1
        where = place(delivery.id)
        if where is None:
            self._corrupted(delivery, "its id is malformed")
            return
        epoch, seq = where
        if self.epoch and epoch != self.epoch:
            self._corrupted(delivery, f"its epoch is not {self.epoch}")
            return
        self.epoch = epoch
        if seq in self.seen:
            self.verdict.duplicated += 1
            self._example(f"{delivery.id} again, after {self.last}")
            return
        self.seen.add(seq)
        if seq < self.last:
            self.verdict.out_of_order += 1
            self._example(f"{delivery.id} after {self.last}")
        self.last = max(self.last, seq)
        self.missing.pop(seq, None)
        fault = self._content(delivery, seq)
        if fault:
            self._corrupted(delivery, fault)

    def _content(self, delivery: Delivery, seq: int) -> str:
        """What is wrong with the content of a delivery, "" when nothing is."""
        event = self.log.events.get(seq)
        if event is None:
            return "no event was acknowledged with this number"
        if seq <= self.history.start:
            return f"it lies before the start, {self.history.start}"
        if not matches(self.history.filters, event.topic):
            return f"its topic {event.topic} is not asked for"
        if delivery.name != event.name:
            return f"its name is {delivery.name!r}, published was {event.name!r}"
        if delivery.data != event.data:
            return f"its data is {delivery.data[:60]!r}, published was {event.data[:60]!r}"
        if self.log.ids.setdefault(seq, delivery.id) != delivery.id:
            return f"another reader got it as {self.log.ids[seq]}"
        return ""

    def _corrupted(self, delivery: Delivery, fault: str) -> None:
        self.verdict.corrupted += 1
        self._example(f"{delivery.id}: {fault}")

    def _example(self, text: str) -> None:
        if len(self.verdict.examples) < EXAMPLES:
            self.verdict.examples.append(f"{self.history.name} ({' '.join(self.history.filters)}): {text}")
