"""Whose turn it is, where all tenants share a few places and some do not give theirs back soon. Pure.

A holder's part is the places divided by the holders there are and one more, so that a part is free for whoever comes
next. Within its part nobody waits: where others have more, because they came earlier, one of them loses what it has.
So however many are slow, and for how long, nobody else waits for them.
"""

from __future__ import annotations

from collections.abc import Hashable
from itertools import count
from typing import Any, Generic, NamedTuple, TypeVar

Q = TypeVar("Q", bound=Hashable)


class Moves(NamedTuple, Generic[Q]):
    """What has become of whom: those that have a place now, and those that lost theirs."""

    let_in: tuple[Q, ...] = ()
    cut: tuple[Q, ...] = ()


class Turns(Generic[Q]):
    """`limit` places for all, of which one holder has at most `each`. A question is unlike any other one.

    cutting: whether who has less than its part takes what others have beyond theirs; else it waits until they leave, in
    a line of the holders: whoever was let in stands behind those that wait. total: places that are taken. cut: how many
    lost theirs so far.
    """

    def __init__(self, limit: int, each: int, *, cutting: bool = True) -> None:
        self.limit = limit
        self.each = each
        self._cutting = cutting
        self.total = 0
        self.cut = 0
        self._numbers = count()
        self._in: dict[object, dict[Q, int]] = {}
        self._waiting: dict[object, dict[Q, None]] = {}

    @property
    def part(self) -> int:
        """How many places each holder may have now."""
        # As many steps as there are places, whatever the number of those that wait.
        holders = len(self._waiting) + sum(holder not in self._waiting for holder in self._in)
        return max(1, min(self.each, self.limit // (holders + 1)))

    def held(self, holder: object) -> int:
        """How many places it has."""
        return len(self._in.get(holder, ()))

    def waits(self, holder: object) -> int:
        """How many of its questions have none."""
        return len(self._waiting.get(holder, ()))

    def ask(self, holder: object, question: Q) -> Moves[Q]:
        """`question` is in, or waits behind the holder's other ones; for both it has to `leave`, once."""
        self._waiting.setdefault(holder, {})[question] = None
        # With more holders than places there is less than one for each: then the newest has one.
        full = self.total == self.limit and not self.held(holder)
        cut = (self._cut(),) if full and self._cutting else ()
        entered = (self._enter(holder),) if self.held(holder) < self.part and self.total < self.limit else ()
        more = self._settle()
        return Moves(entered + more.let_in, cut + more.cut)

    def leave(self, holder: object, question: Q) -> Moves[Q]:
        """It is over, wherever it was: one that was cut leaves, too."""
        if question in self._in.get(holder, ()):
            self._remove(self._in, holder, question)
            self.total -= 1
        elif question in self._waiting.get(holder, ()):
            self._remove(self._waiting, holder, question)
        return self._settle()

    def _settle(self) -> Moves[Q]:
        """Whoever waits and has less than its part."""
        let_in: list[Q] = []
        cut: list[Q] = []
        part = self.part
        while (holder := self._next(part)) is not None:
            if self.total == self.limit:
                if not self._cutting or self.held(self._largest()) <= part:
                    break
                cut.append(self._cut())
            let_in.append(self._enter(holder))
        return Moves(tuple(let_in), tuple(cut))

    def _next(self, part: int) -> object | None:
        """Who waits with the fewest places, less than its part; of several the first in line.

        However many wait: only those that have a place are passed over, and those are few.
        """
        found: object | None = None
        fewest = part
        for holder in self._waiting:
            held = self.held(holder)
            if held < fewest:
                found, fewest = holder, held
            if not fewest:
                break
        return found

    def _largest(self) -> object:
        """Who has the most; of several the one whose oldest question is oldest."""
        return max(self._in, key=lambda holder: (self.held(holder), -next(iter(self._in[holder].values()))))

    def _enter(self, holder: object) -> Q:
        """Its first question that waits is in."""
        question = next(iter(self._waiting[holder]))
        self._remove(self._waiting, holder, question)
        if holder in self._waiting:
            # To the end of the line: else who has many would be first in it until the last of them is in.
            self._waiting[holder] = self._waiting.pop(holder)
        self._in.setdefault(holder, {})[question] = next(self._numbers)
        self.total += 1
        return question

    def _cut(self) -> Q:
        """The question that has waited longest for its answer: among slow ones, one that will hardly come."""
        holder = self._largest()
        question = next(iter(self._in[holder]))
        self._remove(self._in, holder, question)
        self.total -= 1
        self.cut += 1
        return question

    @staticmethod
    def _remove(those: dict[object, dict[Q, Any]], holder: object, question: Q) -> None:
        del those[holder][question]
        if not those[holder]:
            del those[holder]
