"""Promises 1 and 2 for every reader of a tail, whatever happens in whatever order.

The tail, its audiences, rounds and ring are real; sockets, stream and time are not (`tests.fakes`). Twice: with a chase
that is as simple as can be, and with the one that the service uses.
"""

from collections.abc import Callable

import pytest

from tests.fakes.pods import served, simple
from tests.fakes.script import Op, play, script, shortest
from tests.fakes.world import World

SCRIPTS = 250
LENGTH = 120


def failure(ops: list[Op], make: Callable[[], World]) -> Exception | None:
    try:
        play(ops, make)
    except Exception as error:  # noqa: BLE001 - whatever it is, the script that leads to it is told
        return error
    return None


@pytest.mark.parametrize("make", [simple, served])
def test_every_reader_gets_everything_once_and_in_order_or_is_told(make: Callable[[], World]) -> None:
    for seed in range(SCRIPTS):
        ops = script(seed, LENGTH)
        if failure(ops, make) is not None:
            ops = shortest(ops, lambda fewer: failure(fewer, make) is not None)
            error = failure(ops, make)
            assert error is not None
            error.add_note(f"seed {seed}, cut down to:\n" + "\n".join(map(str, ops)))
            raise error
