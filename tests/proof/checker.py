"""Judges what one reader got against what the publisher was promised. Pure: histories in, a verdict out."""

import re
from bisect import bisect_right
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Final, NamedTuple

EXAMPLES: Final = 5
"""Faults of each reader that are put into words; all are counted."""

ONE_EVENT: Final = ("undeliverable", "withheld")
"""Reasons of gaps that tell of the one event at their own place; all others tell of everything since the last."""

_ID: Final = re.compile(r"([a-z0-9]{8})-(0|[1-9][0-9]*)(?:-([0-9a-z]+))?(?:\.[A-Za-z0-9._-]+)?")


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
    topic: str = ""
    """Where it was told, as a poll does."""


class Gap(NamedTuple):
    """A told loss: events up to and including `id`'s place are missing."""

    id: str
    reason: str


class Loss(NamedTuple):
    """What was taken from the log on purpose: readers who had not got it must be told so, by this reason."""

    reason: str
    first: int
    last: int


@dataclass(slots=True)
class History:
    """What one reader asked for and got, over all its connections.

    start: the sequence number after which its events begin: 0 for all of them. end: that of the last that it must have
    got; None for the last there is. newest: up to here it is owed the newest event of each topic only, as it asked for.
    epoch, after: the place where it was told that its events go on, when it begins with a gap.
    """

    name: str
    filters: tuple[str, ...]
    start: int = 0
    items: list[Delivery | Gap] = field(default_factory=list)
    end: int | None = None
    newest: int = 0
    epoch: str = ""
    after: int = 0


@dataclass(slots=True)
class Verdict:
    """Counts of what was checked and found, and some of the faults in words.

    lost: promised events that never came and that no gap told. corrupted: deliveries with other bytes, name or id than
    published, of other topics, or of no published event at all. gaps: told losses that are none. told: those that are.
    untold: losses made on purpose that nobody told. foreign: events of another tenant.
    """

    deliveries: int = 0
    lost: int = 0
    duplicated: int = 0
    out_of_order: int = 0
    corrupted: int = 0
    gaps: int = 0
    told: int = 0
    untold: int = 0
    foreign: int = 0
    examples: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        """Whether every promise was kept."""
        wrong = self.lost or self.duplicated or self.out_of_order or self.corrupted or self.gaps
        return not (wrong or self.untold or self.foreign)

    def add(self, other: "Verdict") -> None:
        """Sum up another reader's verdict."""
        self.deliveries += other.deliveries
        self.lost += other.lost
        self.duplicated += other.duplicated
        self.out_of_order += other.out_of_order
        self.corrupted += other.corrupted
        self.gaps += other.gaps
        self.told += other.told
        self.untold += other.untold
        self.foreign += other.foreign
        self.examples += other.examples


@cache
def place(id_: str) -> tuple[str, int] | None:
    """Epoch and sequence number of an event id, None when it is none. Cached: each comes to many readers."""
    found = _ID.fullmatch(id_)
    return (found[1], int(found[2])) if found else None


@cache
def mark(id_: str) -> str:
    """An event id's mark, the time at which the event was stored; "" where it has none."""
    found = _ID.fullmatch(id_)
    return (found[3] or "") if found else ""


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

    losses: what was taken from it on purpose. unknown: events that may have been stored, as nobody acknowledged them.
    foreign: name and data of other tenants' events. ids: the id that each event had where it was first seen, marks: the
    same of a gap's id, too. All readers are held to them, for any pod must give an event the same id.
    """

    def __init__(
        self,
        events: Mapping[int, Event],
        *,
        losses: Sequence[Loss] = (),
        unknown: Collection[Event] = (),
        foreign: Collection[tuple[str, str]] = (),
    ) -> None:
        self.events = dict(events)
        self.losses = losses
        self.foreign = foreign
        self.ids: dict[int, str] = {}
        self.marks: dict[int, str] = {}
        self._unknown = {(event.name, event.data): event for event in unknown}
        self._order = sorted(events)
        self._matching: dict[tuple[str, ...], list[int]] = {}

    def event(self, seq: int, delivery: Delivery) -> Event | None:
        """What was stored under a number: what was acknowledged, else what this delivery shows to have been stored."""
        if seq not in self.events and (found := self._unknown.get((delivery.name, delivery.data))) is not None:
            self.events[seq] = found
        return self.events.get(seq)

    def taken(self, seq: int) -> bool:
        """Whether the event was taken from the log on purpose."""
        return any(loss.first <= seq <= loss.last for loss in self.losses)

    def explains(self, reason: str, first: int, last: int) -> bool:
        """Whether a gap from `first` to `last` tells the truth."""
        return first <= last and any(
            loss.reason == reason and loss.first <= first and last <= loss.last for loss in self.losses
        )

    def deliverable(self, seq: int) -> bool:
        """Whether a reader may be sent this event at all."""
        return not any(loss.reason in ONE_EVENT and loss.first <= seq <= loss.last for loss in self.losses)

    def marked(self, id_: str) -> bool:
        """Whether the mark of an id is that under which its place was seen before; true where there is none."""
        where, seen = place(id_), mark(id_)
        return where is None or not seen or self.marks.setdefault(where[1], seen) == seen

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
        self.missing = {seq: None for seq in self.wanted if history.end is None or seq <= history.end}
        self._excuse_older()
        self.seen: set[int] = set()
        self.last = history.after
        self.epoch = history.epoch
        self.verdict = Verdict()

    def run(self) -> Verdict:
        for item in self.history.items:
            if isinstance(item, Gap):
                self._gap(item)
            else:
                self._delivery(item)
        self.verdict.untold = sum(map(self.log.taken, self.missing))
        self.verdict.lost = len(self.missing) - self.verdict.untold
        if self.missing:
            first = next(iter(self.missing))
            self._example(
                f"{len(self.missing)} of {len(self.wanted)} lost, first {first} {self.log.events[first].topic}"
            )
        return self.verdict

    def _excuse_older(self) -> None:
        """Nobody who asked for the newest event of each topic is owed those before it."""
        newer: set[str] = set()
        for seq in reversed(self.wanted[: bisect_right(self.wanted, self.history.newest)]):
            topic = self.log.events[seq].topic
            if topic in newer:
                self.missing.pop(seq, None)
            newer.add(topic)

    def _gap(self, gap: Gap) -> None:
        where = place(gap.id)
        if where is None:
            self._untrue(gap)
            return
        epoch, last = where
        first = last if gap.reason in ONE_EVENT else self.last + 1
        if self.epoch in ("", epoch):
            explained = last > self.last and self._concerns(gap, last) and self.log.explains(gap.reason, first, last)
            if explained and self.log.marked(gap.id):
                self.verdict.told += 1
            else:
                self._untrue(gap)
            for seq in range(first, last + 1):
                self.missing.pop(seq, None)
        else:
            self._untrue(gap)
        self.last = max(self.last, last) if self.epoch in ("", epoch) else last
        self.epoch = epoch

    def _concerns(self, gap: Gap, seq: int) -> bool:
        """Of one event only those are told who would have got it."""
        event = self.log.events.get(seq)
        return gap.reason not in ONE_EVENT or (event is not None and matches(self.history.filters, event.topic))

    def _untrue(self, gap: Gap) -> None:
        self.verdict.gaps += 1
        self._example(f"gap {gap.reason} up to {gap.id} after {self.last}")

    def _delivery(self, delivery: Delivery) -> None:
        self.verdict.deliveries += 1
        if (delivery.name, delivery.data) in self.log.foreign:
            self.verdict.foreign += 1
            self._example(f"{delivery.id} is another tenant's: {delivery.data[:60]!r}")
            return
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
        # A gap's own place lies before what comes after it.
        if seq <= self.last:
            self.verdict.out_of_order += 1
            self._example(f"{delivery.id} after {self.last}")
        self.last = max(self.last, seq)
        self.missing.pop(seq, None)
        event = self.log.event(seq, delivery)
        if event is None:
            fault = "no event was acknowledged with this number"
        else:
            fault = self._unwanted(event, seq) or self._content(delivery, event, seq)
        if fault:
            self._corrupted(delivery, fault)

    def _unwanted(self, event: Event, seq: int) -> str:
        """Why an event must not come to this reader, "" when it may."""
        if not self.log.deliverable(seq):
            return "it is one that must be told, not sent"
        if seq <= self.history.start:
            return f"it lies before the start, {self.history.start}"
        if not matches(self.history.filters, event.topic):
            return f"its topic {event.topic} is not asked for"
        return ""

    def _content(self, delivery: Delivery, event: Event, seq: int) -> str:
        """What is wrong with the content of a delivery, "" when nothing is."""
        if delivery.name != event.name:
            return f"its name is {delivery.name!r}, published was {event.name!r}"
        if delivery.data != event.data:
            return f"its data is {delivery.data[:60]!r}, published was {event.data[:60]!r}"
        if delivery.topic not in ("", event.topic):
            return f"its topic is told as {delivery.topic}, published was {event.topic}"
        if self.log.ids.setdefault(seq, delivery.id) != delivery.id:
            return f"another reader got it as {self.log.ids[seq]}"
        if not self.log.marked(delivery.id):
            return f"another reader was told its mark as {self.log.marks[seq]}"
        return ""

    def _corrupted(self, delivery: Delivery, fault: str) -> None:
        self.verdict.corrupted += 1
        self._example(f"{delivery.id}: {fault}")

    def _example(self, text: str) -> None:
        if len(self.verdict.examples) < EXAMPLES:
            self.verdict.examples.append(f"{self.history.name} ({' '.join(self.history.filters)}): {text}")
