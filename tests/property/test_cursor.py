"""The feed's reset machine beside a server and a network that lose, double, delay and stall, and lose connections.

Whatever happens, what is delivered is 1, 2, 3, … of the stream, each once, and when the network is well again the end
of it is reached.
"""

import heapq
from dataclasses import dataclass
from random import Random
from typing import NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from slipstream.jetstream.cursor import SILENCE, Action, Cursor

FEW = settings(derandomize=True, deadline=None, max_examples=300, database=None)

TICK = 0.5
HEARTBEAT = 1.0


class Packet(NamedTuple):
    """On its way from a consumer: a message, or a heartbeat (`stream_seq` 0)."""

    at: float
    number: int
    generation: int
    stream_seq: int
    consumer_seq: int


@dataclass
class Consumer:
    """`start`: the first stream sequence. `sent`: its own numbers so far. `spoke_at`: its last message or heartbeat."""

    start: int
    sent: int
    spoke_at: float


class Server:
    """A stream that grows, and consumers that send what is stored from their start on, heartbeats when idle."""

    def __init__(self, roll: Random) -> None:
        self.roll = roll
        self.last = 0
        self.now = 0.0
        self.trouble_until = roll.uniform(5.0, 30.0)
        self.rate = roll.choice([0.0, 0.05, 0.3])
        self._wire: list[Packet] = []
        self._number = 0
        self._consumers: dict[int, Consumer] = {}

    @property
    def well(self) -> bool:
        return self.now >= self.trouble_until

    def create(self, generation: int, start: int) -> None:
        """A consumer for events from `start` on; an older one may live on for a while."""
        self._consumers[generation] = Consumer(start, 0, self.now)
        if not self.well and self.roll.random() < 0.5:
            return
        for older in [one for one in self._consumers if one != generation]:
            del self._consumers[older]

    def work(self) -> None:
        """Something is stored, and consumers send it."""
        roll = self.roll
        for _ in range(roll.choice([0, 0, 0, 1, 5]) if self.now < self.trouble_until + 3.0 else 0):
            self.last += 1
        if not self.well and self._consumers and roll.random() < self.rate / 4:
            # Its node dies without a word.
            del self._consumers[roll.choice(list(self._consumers))]
        for generation, consumer in self._consumers.items():
            while consumer.start + consumer.sent <= self.last:
                consumer.sent += 1
                consumer.spoke_at = self.now
                self._send(generation, consumer.start + consumer.sent - 1, consumer.sent)
            if self.now - consumer.spoke_at >= HEARTBEAT:
                consumer.spoke_at = self.now
                self._send(generation, 0, consumer.sent)

    def _send(self, generation: int, stream_seq: int, consumer_seq: int) -> None:
        roll = self.roll
        copies, late = 1, 0.0
        if not self.well and roll.random() < self.rate:
            copies, late = roll.choice([(0, 0.0), (0, 0.0), (2, 0.0), (1, roll.uniform(0.1, 6.0))])
        for _ in range(copies):
            self._number += 1
            heapq.heappush(self._wire, Packet(self.now + late, self._number, generation, stream_seq, consumer_seq))

    def arrived(self) -> list[Packet]:
        """What has come by now, in the order it came."""
        found = []
        while self._wire and self._wire[0].at <= self.now:
            found.append(heapq.heappop(self._wire))
        return found


class Feed:
    """What `jetstream/feed.py` does with the answers."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.cursor = Cursor(0)
        self.taken: list[int] = []
        self.resets = 0
        self._again_at = 0.0

    def turn(self) -> None:
        server, cursor = self.server, self.cursor
        if not cursor.following and server.now >= self._again_at:
            server.create(cursor.begin(server.now), cursor.last + 1)
        for packet in server.arrived():
            self.take(packet)
        if not server.well and server.roll.random() < server.rate / 10:
            self.act(cursor.lost("the connection was made anew"))
        self.act(cursor.tick(server.now))

    def take(self, packet: Packet) -> None:
        cursor, now = self.cursor, self.server.now
        if not packet.stream_seq:
            self.act(cursor.heartbeat(packet.generation, packet.consumer_seq, now))
            return
        action = cursor.message(packet.generation, packet.stream_seq, packet.consumer_seq, now)
        if action is Action.DELIVER:
            assert packet.stream_seq == len(self.taken) + 1, f"{packet.stream_seq} after {len(self.taken)}"
            self.taken.append(packet.stream_seq)
        self.act(action)

    def act(self, action: Action) -> None:
        if action is Action.RESET:
            assert not self.cursor.following
            self.resets += 1
            self._again_at = self.server.now + self.server.roll.choice([0.0, 0.1, 2.0])


def run(seed: int, rate: float | None = None) -> Feed:
    server = Server(Random(seed))
    if rate is not None:
        server.rate = rate
    feed = Feed(server)
    # The last loss may be a heartbeat's silence after the trouble; then comes one more reset.
    until = server.trouble_until + 3.0 + 3 * (SILENCE + 2.0)
    while server.now < until:
        server.now += TICK / 5
        server.work()
        feed.turn()
    return feed


@FEW
@given(st.integers(0, 1 << 32))
def test_everything_is_delivered_once_and_in_order_and_the_end_is_reached(seed: int) -> None:
    feed = run(seed)
    assert feed.cursor.last == len(feed.taken) == feed.server.last
    assert feed.cursor.following


@FEW
@given(st.integers(0, 1 << 32))
def test_where_nothing_is_lost_nothing_is_reset(seed: int) -> None:
    feed = run(seed, rate=0.0)
    assert feed.resets == 0
    assert feed.cursor.generation == 1


def test_the_trouble_is_real() -> None:
    assert sum(run(seed).resets for seed in range(30)) > 60
