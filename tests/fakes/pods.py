"""Worlds to play in: with the plainest chase there can be, and with the one that the service uses."""

from slipstream.fanout.chase import Chaser
from slipstream.fanout.replay import Replay
from slipstream.fanout.slots import Slots
from tests.fakes.chase import FakeChase
from tests.fakes.stream import FakeSource
from tests.fakes.world import World


def simple() -> World:
    return World(FakeChase)


def served() -> World:
    def chaser_of(source: FakeSource) -> Chaser:
        replay = Replay(source, Slots(2).of("acme"))
        return Chaser(lambda _: replay)

    return World(chaser_of)
