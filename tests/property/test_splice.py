"""A reader that attaches at any time gets everything that matches once and in order, or is told, and becomes live.

The stream, its lagging replica and the ring go on between any two things that the reader does; fences are shared with
other readers as `fanout/replay.py` shares them.
"""

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from slipstream.log.ring import Limits, Ring
from slipstream.log.source import State
from slipstream.log.splice import Fence, Step, step
from slipstream.protocol.event import Record

FEW = settings(derandomize=True, deadline=None, max_examples=800, database=None)

TURNS = 60
PAGE = 3


class Log:
    """What is stored, what is retained, how far the replica is, and the ring. Topic `y` matches."""

    def __init__(self, roll: Random) -> None:
        self.roll = roll
        self.records: list[Record] = []
        self.first = 1
        self.replica = 0
        self.ring = Ring(Limits(events=roll.randint(1, 6), size=1 << 20, age_ms=1 << 30), 0)
        self.shared: Fence | None = None
        self.busy = True

    def matching(self, after: int, last: int) -> list[int]:
        return [one.seq for one in self.records[max(after, 0) : last] if one.topic == "y"]

    def happen(self) -> None:
        """Anything, or nothing."""
        roll = self.roll
        if not self.busy:
            return
        for _ in range(roll.choice([0, 0, 0, 1, 4])):
            self.records.append(Record(len(self.records) + 1, 0, roll.choice("yn"), "", b""))
        last = len(self.records)
        self.replica = max(self.replica, roll.randint(0, last))
        if roll.random() < 0.1:
            self.first = max(self.first, roll.randint(1, last + 1))
        self.feed(roll.choice([0, 1, 5]))
        if roll.random() < 0.2:
            self.ring.trim(roll.randint(1, 1000))
        if roll.random() < 0.2:
            self.shared = None

    def feed(self, count: int) -> None:
        for record in self.records[self.ring.last : self.ring.last + count]:
            self.ring.append(record)

    def settle(self) -> None:
        self.busy = False
        self.replica = len(self.records)
        self.feed(len(self.records))

    def fence(self, cursor: int, head: int) -> Fence:
        """As `Replay.fence`: a shared one, unless its head is not beyond the reader."""
        self.happen()
        if self.shared is None or self.shared.head <= cursor:
            last_match = max(self.matching(self.first - 1, len(self.records)), default=0)
            self.happen()
            self.shared = Fence(last_match, head, self.state())
        self.happen()
        return self.shared

    def state(self) -> State:
        return State("epoch000", self.first, len(self.records), None)


class Reader:
    """`got` and `told` are what it was sent: sequences, and ranges (after, up to) that it was told are missing."""

    def __init__(self, log: Log, cursor: int) -> None:
        self.log = log
        self.start = self.cursor = cursor
        self.fence: Fence | None = None
        self.got: list[int] = []
        self.told: list[tuple[int, int]] = []

    def act(self) -> Step:
        log = self.log
        what = step(self.cursor, log.ring.base, log.ring.last, self.fence)
        match what:
            case Step.FENCE:
                self.fence = log.fence(self.cursor, log.ring.last)
            case Step.JUMP:
                assert self.fence is not None
                self.cursor, self.fence = self.fence.head, None
            case Step.REPLAY:
                self.replay()
            case Step.RING:
                assert log.ring.covers(self.cursor)
                # A socket takes what it takes.
                taken = list(log.ring.after(self.cursor))[: log.roll.randint(1, 4)]
                self.send([one.seq for one in taken if one.topic == "y"], taken[-1].seq)
            case _:
                log.happen()
        return what

    def replay(self) -> None:
        log = self.log
        log.happen()
        after = max(self.cursor, log.first - 1)
        page = log.matching(after, log.replica)[:PAGE]
        log.happen()
        first = log.first
        log.happen()
        if self.cursor < first - 1:
            self.told.append((self.cursor, first - 1))
            self.cursor = first - 1
        page = [seq for seq in page if seq > self.cursor]
        if page:
            self.send(page, page[-1])

    def send(self, seqs: list[int], cursor: int) -> None:
        assert all(seq > self.cursor for seq in seqs)
        assert cursor > self.cursor
        self.got += seqs
        self.cursor = cursor


@FEW
@given(st.integers(0, 1 << 32))
def test_a_reader_gets_everything_once_and_in_order_or_is_told_and_becomes_live(seed: int) -> None:
    roll = Random(seed)
    log = Log(roll)
    for _ in range(roll.randint(0, 12)):
        log.happen()
    readers = [Reader(log, roll.randint(log.first - 1, len(log.records))) for _ in range(3)]
    for _ in range(TURNS):
        roll.choice(readers).act()
    log.settle()
    for reader in readers:
        enough = 2 * len(log.records) + 10
        while reader.act() is not Step.LIVE:
            enough -= 1
            assert enough, f"never live: {reader.cursor} of {log.ring.last}"
        assert reader.cursor == len(log.records)
        untold = [
            seq
            for seq in log.matching(reader.start, len(log.records))
            if not any(after < seq <= until for after, until in reader.told)
        ]
        assert reader.got == untold
        assert all(after < until < log.first for after, until in reader.told)


@FEW
@given(st.integers(0, 1 << 32))
def test_a_reader_whose_topics_are_quiet_is_live_after_one_question(seed: int) -> None:
    roll = Random(seed)
    log = Log(roll)
    log.records = [Record(seq, 0, "n", "", b"") for seq in range(1, 100)]
    log.settle()
    reader = Reader(log, roll.randint(0, log.ring.base - 1))
    assert [reader.act() for _ in range(2)] == [Step.FENCE, Step.JUMP]
    assert reader.act() is Step.LIVE
