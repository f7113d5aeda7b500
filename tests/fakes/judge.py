"""Judges what one reader got: promises 1 and 2 of the design, from its bytes and from what was really stored.

Knows nothing of rings, rounds or replays.
"""

import json
import zlib
from collections import deque
from dataclasses import dataclass

from slipstream.fanout.audience import View
from slipstream.protocol.event import Record
from slipstream.protocol.position import Position, mark_of
from tests.fakes.stream import Chapter
from tests.sse import Parsed, Parser

_REPLACED = ("reset", "rewritten", "ahead")


@dataclass(frozen=True)
class Restart:
    """What the feed told the tail: why, after which sequence it goes on, and in which chapter."""

    reason: str
    base: int
    chapter: Chapter


def unchunk(data: bytes) -> tuple[bytes, bytes]:
    """The body in whole chunks (RFC 9112 section 7.1), and what is left of a torn one. AssertionError on nonsense."""
    body = b""
    while (end := data.find(b"\r\n")) >= 0:
        size = int(data[:end], 16)
        whole = end + 2 + size + 2
        if len(data) < whole:
            break
        assert data[whole - 2 : whole] == b"\r\n", "a chunk does not end where its size says"
        body += data[end + 2 : whole - 2]
        data = data[whole:]
    return body, data


class Judge:
    """One reader's stream: `position` is where it stands, `gaps` why something was missing.

    `restarts`: the list to which the world adds. `heard`: how often anything was said, `checkpoints` included.
    `owed`: how often the world told this reader alone something, `told`: how often that came.
    """

    def __init__(self, view: View, chapter: Chapter, position: int, restarts: list[Restart]) -> None:
        self.filters = view.filters
        self.chapter = chapter
        self.position = position
        self.snapshot: deque[Record] = deque()
        self.ended = False
        self.heard = self.checkpoints = 0
        self.owed = self.told = 0
        self.gaps: list[str] = []
        self._chunked = view.chunked
        self._inflate = zlib.decompressobj(wbits=31) if view.gzip else None
        self._restarts = restarts
        self._restarted = len(restarts)
        self._parser = Parser()
        self._rest = b""
        self._read = 0

    def read(self, taken: bytes | bytearray) -> None:
        """Judge what came since the last call; `taken` is all that ever came."""
        block = bytes(taken[self._read :])
        self._read = len(taken)
        if self._chunked:
            block, self._rest = unchunk(self._rest + block)
        if self._inflate is not None:
            block = self._inflate.decompress(block)
        comments = len(self._parser.comments)
        events = self._parser.feed(block)
        self.heard += len(events) + len(self._parser.comments) - comments
        for event in events:
            assert not self.ended, "the error is the last frame"
            self._judge(event)

    def complete(self, last: int) -> None:
        """Nothing is missing up to `last`, and every restart that matters was told."""
        self._skip(last)
        assert all(one.reason == "expired" for one in self._restarts[self._restarted :]), "a restart was not told"
        assert not self.snapshot, "the snapshot was not sent whole"
        assert self.told == self.owed, "a frame for this reader alone did not come"

    def _judge(self, event: Parsed) -> None:
        if event.event == "stream.gap":
            self._gap(Position.parse(event.id), json.loads(event.data))
        elif event.event == "stream.checkpoint":
            self._moved(self._mine(event.id).seq, own=False)
            self.checkpoints += 1
        elif event.event == "stream.ready":
            assert self._mine(event.id).seq == self.position
        elif event.event == "stream.expiring":
            self.told += 1
        elif event.event == "error":
            self.ended = True
        elif event.event != "stream.heartbeat":
            self._event(event)

    def _mine(self, text: str) -> Position:
        place = Position.parse(text)
        assert place.epoch == self.chapter.epoch, f"{text} is of another log than {self.chapter.epoch}"
        return place

    def _event(self, event: Parsed) -> None:
        place = self._mine(event.id)
        record = self.chapter.events.get(place.seq)
        assert record is not None, f"{event.id} was never stored in this life of the stream"
        assert event.data.encode() == record.data, f"{event.id} is another event here"
        assert place.mark == mark_of(record.time_ms)
        assert self.filters.matches(record.topic), f"{event.id} on {record.topic} was not asked for"
        assert record.fault is None
        self._moved(place.seq, own=True)

    def _moved(self, seq: int, *, own: bool) -> None:
        if self.snapshot and own:
            assert self.snapshot.popleft().seq == seq, "the newest of each topic come first, in order"
            assert seq > self.position
        else:
            assert not self.snapshot, "the newest of each topic come first"
            assert seq > self.position if own else seq >= self.position, f"{seq} after {self.position}"
            self._skip(seq - own)
        self.position = seq

    def _skip(self, seq: int) -> None:
        """Nothing that matches lies after where we stand, up to `seq`."""
        for one in range(self.position + 1, seq + 1):
            record = self.chapter.events.get(one)
            missed = record is not None and self.filters.matches(record.topic)
            assert not missed, f"{one} is missing between {self.position} and {seq}, and nobody said so"

    def _gap(self, place: Position, gap: dict[str, object]) -> None:
        reason = str(gap["reason"])
        assert gap["from"] == str(place)
        self.gaps.append(reason)
        if gap["requested"] is not None:
            stood = self._mine(str(gap["requested"])).seq
            assert self.position <= stood
            self._skip(stood)
        coming = self._restarts[self._restarted :]
        # An expired restart says nothing to a reader that stands beyond it already.
        while reason in _REPLACED and coming and coming[0].reason == "expired":
            coming.pop(0)
            self._restarted += 1
        if reason in _REPLACED:
            assert coming, f"nothing happened that is called {reason}"
            assert (coming[0].reason, coming[0].base, coming[0].chapter.epoch) == (reason, place.seq, place.epoch)
            self.chapter = coming[0].chapter
            self._restarted += 1
            self.snapshot.clear()
        elif reason == "expired":
            assert place.epoch == self.chapter.epoch
            assert self.position < place.seq < self.chapter.first, f"{place.seq} is not what has expired"
            if gap["certain"]:
                lost = [self.chapter.events[seq] for seq in range(self.position + 1, place.seq + 1)]
                assert any(self.filters.matches(record.topic) for record in lost), "nothing is missing for certain"
            self.snapshot.clear()
        else:
            assert reason == "undeliverable"
            record = self.chapter.events[self._mine(str(place)).seq]
            assert record.fault is not None
            assert self.filters.matches(record.topic)
            self._moved(place.seq, own=True)
            return
        self.position = place.seq
