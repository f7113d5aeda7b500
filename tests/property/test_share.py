"""However processes, losses, stalls and crashes interleave, no more is granted than the limit; and it can be reached.

The log is one list. A write lands when it likes, before or after its writer has given up waiting; each process reads
as far as it likes. Time is everybody's, the clocks of the processes begin anywhere, and that of the log steps.
"""

from random import Random
from typing import NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from slipstream.quotas.lease import Lease, Members
from slipstream.quotas.share import Admitted, Share, Write

FEW = settings(derandomize=True, deadline=None, max_examples=300, database=None)
LEASE = 10.0
TURNS = 250
SEEDS = st.integers(0, 2**32)


class Entry(NamedTuple):
    seq: int
    time_ms: int
    kind: str
    process: str
    document: dict[str, int]


class Log:
    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.revision = 0
        self.time = 1000.0
        self.ahead = 0.0

    def add(self, kind: str, process: str, document: dict[str, int] | None = None) -> int:
        self.entries.append(
            Entry(len(self.entries) + 1, int((self.time + self.ahead) * 1000), kind, process, document or {})
        )
        return len(self.entries)

    def put(self, process: str, write: Write) -> int | None:
        """Compare and set; None when another was first."""
        if write.expected != self.revision:
            return None
        self.revision = self.add("quota", process, dict(write.document))
        return self.revision

    @property
    def document(self) -> dict[str, int]:
        return self.entries[self.revision - 1].document if self.revision else {}


class Process:
    def __init__(self, name: str, log: Log, limit: int, clock: float) -> None:
        self.name, self.log, self.clock = name, log, clock
        self.share, self.members, self.lease = Share(name, limit), Members(LEASE), Lease(LEASE)
        self.members.loaded = True
        self.sent: dict[int, float] = {}
        self.flying: list[Write] = []
        self.read_to = 0
        self.asks = 0
        self.crashed = False

    @property
    def now(self) -> float:
        return self.log.time + self.clock

    @property
    def holds(self) -> bool:
        return not self.crashed and self.lease.holds(self.now)

    def renew(self) -> None:
        self.sent[self.log.add("live", self.name)] = self.now

    def read(self, count: int) -> None:
        for entry in self.log.entries[self.read_to : self.read_to + count]:
            self.read_to = entry.seq
            self.members.read(entry.seq, entry.time_ms)
            if entry.kind == "quota":
                self.share.seen(entry.document, entry.seq)
            elif entry.kind == "want":
                if entry.process != self.name:
                    self.share.wanted(self.now)
            else:
                self.members.heard(entry.process, entry.time_ms, self.now)
                if entry.process == self.name:
                    self.members.sent(self.sent[entry.seq])
                    if self.lease.renewed(self.sent[entry.seq], self.now):
                        self.share.lapsed()

    def write(self, fate: str, *, tidy: bool) -> None:
        write = self.share.plan(self.asks, self.members, self.now, holds=self.holds, tidy=tidy)
        if write is None:
            if self.asks and self.holds:
                self.log.add("want", self.name)
            return
        if fate == "late":
            self.flying.append(write)
            return
        revision = self.log.put(self.name, write)
        if revision is None:
            self.share.seen(self.log.document, self.log.revision)
        elif fate == "acked":
            self.share.written(write, revision)

    def admit(self) -> None:
        while self.asks and isinstance(self.share.admit(self.now, holds=self.holds), Admitted):
            assert self.holds, "without a lease nobody is admitted"
            self.asks -= 1


class World:
    """stalls: of processes, which crash, too. outages: of the log, which nobody can write; and its clock steps.

    flaps: the log's clock goes to and fro by less than anybody can tell, and all renew as late as they may.
    """

    def __init__(self, roll: Random, *, stalls: bool = False, outages: bool = False, flaps: bool = False) -> None:
        self.roll, self.stalls, self.outages, self.flaps = roll, stalls, outages or flaps, flaps
        self.limit = roll.choice([1, 3, 20, 60, 300])
        self.log = Log()
        self.processes = [
            Process(f"p{number}", self.log, self.limit, roll.uniform(0, 1e6)) for number in range(roll.randint(1, 4))
        ]

    def happen(self) -> None:
        roll = self.roll
        self.log.time += roll.choice([0.0, 0.0, 0.01, 0.3])
        if self.stalls:
            self.stall()
        else:
            if self.outages:
                self.interrupt()
            self.keep_alive()
        one = roll.choice(self.living)
        roll.choice([self.ask, self.release, self.write, self.write, self.land, self.read, self.read])(one)
        if roll.random() < 0.1:
            one.renew()
        one.admit()
        self.check()

    @property
    def living(self) -> list[Process]:
        return [one for one in self.processes if not one.crashed]

    def ask(self, one: Process) -> None:
        one.asks = min(one.asks + self.roll.choice([1, 1, 5, 200]), self.limit)

    def release(self, one: Process) -> None:
        for _ in range(self.roll.randint(0, one.share.in_use)):
            one.share.release()

    def write(self, one: Process) -> None:
        one.write(self.roll.choice(["acked", "acked", "unheard", "late"]), tidy=self.roll.random() < 0.2)

    def land(self, one: Process) -> None:
        if not one.flying:
            return
        write = one.flying.pop(self.roll.randrange(len(one.flying)))
        revision = self.log.put(one.name, write)
        if revision is not None and self.roll.random() < 0.5:
            one.share.written(write, revision)

    def read(self, one: Process) -> None:
        one.read(self.roll.choice([1, 3, 1000]))

    def stall(self) -> None:
        if self.roll.random() < 0.02:
            self.log.time += self.roll.uniform(0, 2 * LEASE)
        if self.roll.random() < 0.01 and len(self.living) > 1:
            self.roll.choice(self.living).crashed = True

    def interrupt(self) -> None:
        if self.flaps:
            if self.roll.random() < 0.05:
                self.log.ahead = self.roll.choice([0.0, 0.45 * LEASE])
        elif self.roll.random() < 0.02:
            self.log.time += self.roll.uniform(0, 3 * LEASE)
        elif self.roll.random() < 0.02:
            self.log.ahead = self.roll.choice([0.0, self.roll.uniform(-LEASE, LEASE), self.roll.uniform(-90, 90)])

    def keep_alive(self) -> None:
        left = (0.12 if self.flaps else 0.6) * LEASE
        for one in self.processes:
            # Not all at once: whoever writes first after an outage finds the others as they were.
            if not one.lease.holds(one.now + left) and not (self.outages and self.roll.random() < 0.5):
                one.renew()
                one.read(len(self.log.entries))

    def check(self) -> None:
        granted = sum(one.share.granted for one in self.processes if one.holds)
        assert granted <= self.limit
        assert sum(self.log.document.values()) <= self.limit
        if not self.stalls:
            assert sum(one.share.in_use for one in self.processes) <= self.limit
            assert self.outages or all(one.share.overshoot == 0 for one in self.processes)

    def settle(self) -> None:
        """Some of those who live want all there is, and all that is sent arrives."""
        living = self.living
        asking = self.roll.sample(living, self.roll.randint(1, len(living)))
        for _ in range(8 if self.stalls else 0):
            self.log.time += LEASE / 3
            for one in living:
                one.renew()
                one.read(len(self.log.entries))
        for turn in range(40):
            self.log.time += 0.1
            for one in living:
                one.renew()
                one.read(len(self.log.entries))
                one.asks = self.limit - one.share.in_use if one in asking else 0
                one.admit()
                one.write("acked", tidy=self.stalls and turn % 5 == 0)
                one.admit()
                self.check()


def lived(seed: int, *, stalls: bool = False, outages: bool = False, flaps: bool = False) -> World:
    """A world at the end of its time, in which somebody wants all there is."""
    world = World(Random(seed), stalls=stalls, outages=outages, flaps=flaps)
    for _ in range(TURNS):
        world.happen()
    world.settle()
    return world


@FEW
@given(SEEDS)
def test_while_all_renew_no_more_are_in_than_the_limit_and_the_limit_is_reached(seed: int) -> None:
    world = lived(seed)
    assert sum(one.share.in_use for one in world.processes) == world.limit


@FEW
@given(SEEDS)
def test_through_stalls_and_crashes_no_more_is_granted_than_the_limit(seed: int) -> None:
    world = lived(seed, stalls=True)
    assert sum(one.share.in_use - one.share.overshoot for one in world.living) == world.limit


@FEW
@given(SEEDS)
def test_an_outage_of_the_log_and_a_step_of_its_clock_take_nobodys_share(seed: int) -> None:
    world = lived(seed, outages=True)
    assert sum(one.share.in_use for one in world.processes) == world.limit


@FEW
@given(SEEDS)
def test_a_clock_of_the_log_that_goes_to_and_fro_takes_nobodys_share_who_renews_late(seed: int) -> None:
    world = lived(seed, flaps=True)
    assert sum(one.share.in_use for one in world.processes) == world.limit
