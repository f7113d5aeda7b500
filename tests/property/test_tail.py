"""Promises 1 and 2 for every reader of a tail, whatever happens in whatever order.

The tail, its audiences, rounds and ring are real; sockets, stream and time are not (`tests.fakes`). Twice: with a chase
that is as simple as can be, and with the one that the service uses.
"""

import asyncio
from collections.abc import Callable

import pytest

from slipstream.fanout.chase import Chaser
from slipstream.fanout.replay import Replay
from slipstream.fanout.tail import Chase
from tests.fakes.chase import FakeChase
from tests.fakes.script import Op, play, script, shortest
from tests.fakes.stream import FakeSource
from tests.fakes.world import World

SCRIPTS = 250
LENGTH = 120


def simple(source: FakeSource) -> Chase:
    return FakeChase(source)


def served(source: FakeSource) -> Chase:
    replay = Replay(source, asyncio.Semaphore(2))
    return Chaser(lambda _: replay)


def failure(ops: list[Op], chase_of: Callable[[FakeSource], Chase]) -> Exception | None:
    try:
        play(ops, lambda: World(chase_of))
    except Exception as error:  # noqa: BLE001 - whatever it is, the script that leads to it is told
        return error
    return None


@pytest.mark.parametrize("chase_of", [simple, served])
def test_every_reader_gets_everything_once_and_in_order_or_is_told(chase_of: Callable[[FakeSource], Chase]) -> None:
    for seed in range(SCRIPTS):
        ops = script(seed, LENGTH)
        if failure(ops, chase_of) is not None:
            ops = shortest(ops, lambda fewer: failure(fewer, chase_of) is not None)
            error = failure(ops, chase_of)
            assert error is not None
            error.add_note(f"seed {seed}, cut down to:\n" + "\n".join(map(str, ops)))
            raise error
