"""Bytes for many readers, and where each event in them ends, so that any reader can take them from its own place on."""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Hashable
from itertools import accumulate
from typing import NamedTuple


class Cut(NamedTuple):
    """Where a write stopped: everything up to `cursor` is sent but for `rest` of that last frame."""

    cursor: int
    rest: bytes


class Payload:
    """Frames in one piece; `seqs` has the sequence that each of them brings a reader to, ascending."""

    __slots__ = ("_ends", "_frames", "data", "seqs")

    def __init__(self, frames: list[bytes], seqs: list[int]) -> None:
        self.data = frames[0] if len(frames) == 1 else b"".join(frames)
        self.seqs = seqs
        self._frames = frames
        self._ends: list[int] | None = None

    @property
    def ends(self) -> list[int]:
        """Where each frame ends in `data`. Made when it is first asked for: most payloads are sent whole."""
        if self._ends is None:
            self._ends = list(accumulate(map(len, self._frames)))
            self._frames = []
        return self._ends

    def start(self, cursor: int) -> int:
        """Where in `data` that begins which a reader at `cursor` has not had."""
        index = bisect_right(self.seqs, cursor)
        return self.ends[index - 1] if index else 0

    def cut(self, sent: int, before: int, after: int) -> Cut:
        """What is left when the first `sent` bytes are with a reader that was at `before`, and is at `after` with all.

        Only the rest of the frame that was torn is kept; those behind it are read again from the ring.
        """
        ends = self.ends
        whole = bisect_right(ends, sent)
        if whole == len(ends):
            return Cut(after, b"")
        begun = ends[whole - 1] if whole else 0
        if sent == begun:
            return Cut(max(before, self.seqs[whole - 1]) if whole else before, b"")
        return Cut(self.seqs[whole], self.data[sent : ends[whole]])


class Payloads:
    """Payloads that several readers will want, the newest up to `cap` bytes: those of a reconnect storm."""

    def __init__(self, cap: int) -> None:
        self._cap = cap
        self._kept: OrderedDict[Hashable, Payload] = OrderedDict()
        self.size = 0

    def get(self, key: Hashable, make: Callable[[], Payload]) -> Payload:
        """The payload of `key`, made when it is not here."""
        found = self._kept.get(key)
        if found is not None:
            self._kept.move_to_end(key)
            return found
        made = self._kept[key] = make()
        self.size += len(made.data)
        while self.size > self._cap and self._kept:
            self.size -= len(self._kept.popitem(last=False)[1].data)
        return made

    def clear(self) -> None:
        """Let go of everything."""
        self._kept.clear()
        self.size = 0
