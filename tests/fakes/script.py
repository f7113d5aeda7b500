"""Scripts of what can happen to a `World`, from a seed; a script that fails is cut down to what it needs to fail."""

import random
from collections.abc import Callable
from typing import Any, NamedTuple

from tests.fakes.world import World

TOPICS = ["a", "a", "b", "a.x", "b.x", "c"]
FILTERS = [[">"], ["a"], ["a", "b"], ["*.x"], ["a", "*.x"], ["c"], ["none"]]


class Op(NamedTuple):
    """One call of a method of `World`."""

    name: str
    arguments: tuple[Any, ...]


Make = Callable[[random.Random], tuple[Any, ...]]


def _which(roll: random.Random) -> tuple[Any, ...]:
    return (roll.randrange(6),)


def _nothing(_: random.Random) -> tuple[Any, ...]:
    return ()


def _number(low: int, high: int) -> Make:
    return lambda roll: (roll.randint(low, high),)


def _which_and(low: int, high: int) -> Make:
    return lambda roll: (roll.randrange(6), roll.randint(low, high))


def _either(*values: float) -> Make:
    return lambda roll: (roll.choice(values),)


def _burst(roll: random.Random) -> tuple[Any, ...]:
    return roll.choices(TOPICS, k=roll.randint(1, 9)), roll.choice([0, 0, 60]), roll.choice([0] * 9 + [1])


def _join(roll: random.Random) -> tuple[Any, ...]:
    return roll.choice(FILTERS), roll.choice([0, 0, roll.randrange(60)]), tuple(roll.choices([True, False], k=3))


# How often, relative to one another, and with what.
_OPS: dict[str, tuple[float, Make]] = {
    "burst": (10, _burst),
    "feed": (14, _either(1, 2, 3, 6, 100)),
    "evict": (2, _number(1, 12)),
    "join": (9, _join),
    "join_last": (2, lambda roll: (roll.choice(FILTERS),)),
    "squeeze": (8, _which_and(0, 300)),
    "allow": (6, _which_and(0, 3)),
    "cut": (5, _which_and(1, 4)),
    "drain": (9, _which),
    "writable": (8, _which),
    "step": (5, _nothing),
    "slice": (9, _nothing),
    "turn": (6, _number(1, 4)),
    "answer": (12, _which),
    "answers": (4, _number(2, 8)),
    "fail": (1, _which),
    "wait": (3, _either(0.05, 0.5, 1.5)),
    "beat": (4, _either(0.5, 8.0, 15.0)),
    "trim": (2, _number(1, 6)),
    "lag": (1, _nothing),
    "catch_up": (1, _nothing),
    "look": (1, _nothing),
    "recreate": (0.3, _nothing),
    "reshape": (0.5, _nothing),
    "rewrite": (0.5, lambda roll: (roll.randint(1, 4), roll.randrange(6))),
    "tell": (3, _which),
    "vanish": (0.3, _which),
    "leave": (0.3, _which),
    "close": (0.3, _which),
    "settle": (0.5, _nothing),
}


def script(seed: int, length: int) -> list[Op]:
    """What happens, from a seed."""
    roll = random.Random(seed)
    names = roll.choices(list(_OPS), weights=[weight for weight, _ in _OPS.values()], k=length)
    return [Op(name, _OPS[name][1](roll)) for name in names]


def play(ops: list[Op], make: Callable[[], World]) -> None:
    """Let it happen to a new world. AssertionError, or whatever the parts raise."""
    with make() as world:
        for name, arguments in ops:
            getattr(world, name)(*arguments)
            world.check()
        world.settle()


def shortest(ops: list[Op], fails: Callable[[list[Op]], bool]) -> list[Op]:
    """The script without what it does not need to fail: halves, quarters, and at last single calls are left out."""
    size = len(ops) // 2
    while size:
        begin = 0
        while begin < len(ops):
            fewer = ops[:begin] + ops[begin + size :]
            if fails(fewer):
                ops = fewer
            else:
                begin += size
        size //= 2
    return ops
