"""One process's share of a limit that all processes keep together. Pure.

One document `{process: granted}` is changed by compare-and-set; its sum never exceeds the limit. A process admits up
to what the document grants it, so that most admissions cost no message. Grants are taken in blocks; near the limit one
at a time, and what lies idle is given back when another process wants it.

What a write that nobody answered has done is not known: until a later revision tells, the smaller of both grants
counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from slipstream.quotas.lease import Members

BLOCK: Final = 16
FULL_SECONDS: Final = 1.0
"""For so long nobody asks again after the others had nothing to give: a crowd at a full quota costs no messages."""

_WANTED_SECONDS: Final = 2.0


class Admitted(NamedTuple):
    """In. It is counted until `Share.release`."""


class AskFor(NamedTuple):
    """Not granted here: more grants are needed, see `Share.plan`."""


class Refused(NamedTuple):
    """The limit is reached; asking again makes sense after `retry_after` seconds."""

    retry_after: float


class Write(NamedTuple):
    """What to write where the document's revision is still `expected` (0: there is none). `since` is for `written`."""

    document: Mapping[str, int]
    expected: int
    since: int


class Share:
    """The share of `process`. in_use: how many it holds. limit: for all processes together; None counts only."""

    __slots__ = (
        "_document",
        "_doubtful",
        "_full_until",
        "_lapses",
        "_pending",
        "_process",
        "_revision",
        "_wanted_until",
        "in_use",
        "limit",
    )

    def __init__(self, process: str, limit: int | None) -> None:
        self._process = process
        self.limit = limit
        self.in_use = 0
        self._document: Mapping[str, int] = {}
        self._revision = 0
        self._pending: int | None = None
        self._doubtful = False
        self._lapses = 0
        self._full_until = float("-inf")
        self._wanted_until = float("-inf")

    @property
    def granted(self) -> int:
        """How many may be in use here for sure."""
        if self._doubtful:
            return 0
        return self._mine if self._pending is None else min(self._mine, self._pending)

    @property
    def overshoot(self) -> int:
        """How many more are in use here than are granted: their grants went to others while we could not renew."""
        return 0 if self.limit is None else max(0, self.in_use - self.granted)

    @property
    def empty(self) -> bool:
        """Whether there is nothing to remember."""
        return not (self.in_use or self._mine or self._pending)

    def admit(self, now: float, *, holds: bool) -> Admitted | AskFor | Refused:
        """May one more come in? holds: whether our lease does (`Lease.holds`); without it nobody is admitted."""
        if self.limit is not None:
            within = sum(self._document.values()) <= self.limit
            if not (holds and within and self.in_use < self.granted):
                if holds and now < self._full_until:
                    return Refused(self._full_until - now)
                return AskFor()
        self.in_use += 1
        return Admitted()

    def release(self) -> None:
        """One that was admitted is gone. Raises ValueError when there was none."""
        if not self.in_use:
            raise ValueError("released more than was admitted")
        self.in_use -= 1

    def plan(
        self, waiting: int, members: Members, now: float, *, holds: bool = True, tidy: bool = False
    ) -> Write | None:
        """What to write so that `waiting` more can come in, or others can; None when nothing would help.

        tidy: give back what has been idle, and remove the grants of processes that are gone.
        """
        if not holds:
            return None
        document = {
            process: granted
            for process, granted in self._document.items()
            if process == self._process or not members.lapsed(process, self._revision)
        }
        mine = document.pop(self._process, 0)
        if self.limit is None:
            # Whoever is only counted needs no grant.
            need, room = 0, mine
        else:
            need, room = self.in_use + waiting, max(0, self.limit - sum(document.values()))
        rounded = -(-need // BLOCK) * BLOCK
        blocks = rounded if room - rounded >= BLOCK * members.living else need
        if need > mine:
            target = blocks
        elif now < self._wanted_until or mine > room:
            target = need
        else:
            target = min(mine, blocks) if tidy else mine
        target = min(target, room)
        if target:
            document[self._process] = target
        grows = target > mine
        # Another write of ours may be on its way: of the two, the first that arrives makes the other fail.
        unsure = self._pending is not None and self._pending != target
        cleared = tidy and len(document.keys() | {self._process}) < len({*self._document, self._process})
        if not (grows or target < mine or cleared or unsure or self._doubtful):
            return None
        self._pending = target if self._pending is None else min(self._pending, target)
        return Write(document, self._revision, self._lapses)

    def written(self, write: Write, revision: int) -> None:
        """The write is the document now, at `revision`."""
        if write.since == self._lapses:
            self._doubtful = False
        self.seen(write.document, revision)

    def seen(self, document: Mapping[str, int], revision: int) -> None:
        """The document at `revision`; what is older than what is known changes nothing."""
        if revision <= self._revision:
            return
        self._document, self._revision, self._pending = document, revision, None
        if self.limit is not None and sum(document.values()) < self.limit:
            self._full_until = float("-inf")

    def gone(self) -> None:
        """There is no document, said by who knows."""
        if self._revision:
            self._document, self._revision, self._pending = {}, 0, None

    def lapsed(self) -> None:
        """Our lease had lapsed: our grant counts for nothing until it was written anew, for somebody may remove it."""
        self._lapses += 1
        self._doubtful = bool(self._mine)

    def wanted(self, now: float) -> None:
        """Another process needs what lies idle."""
        self._wanted_until = now + _WANTED_SECONDS

    @property
    def generous(self) -> float:
        """Until when what is released goes to others at once."""
        return self._wanted_until

    def full(self, now: float) -> Refused:
        """Nobody had anything to give."""
        self._full_until = now + FULL_SECONDS
        return Refused(FULL_SECONDS)

    @property
    def _mine(self) -> int:
        return self._document.get(self._process, 0)
