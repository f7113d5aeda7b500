"""Which faults come, in which order, drawn from the seed before anything runs. Pure."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from tests.faults.fault import Fault

CALM_SECONDS: Final = 4.0
"""About how long readers take to catch up, by which a plan is made as long as a run."""
TWO: Final = 0.5
"""Chance that a step of a later round is two faults at once."""

SHORT: Final = ("leader-kill", "edge-kill", "edge-drain", "partition", "poison", "step-down")
"""What runs for every change."""


@dataclass(frozen=True, slots=True)
class Step:
    """One fault, or two at once. number: its place in the plan, by which its own dice are seeded."""

    number: int
    kinds: tuple[str, ...]

    @property
    def name(self) -> str:
        """As the table names it."""
        return " + ".join(self.kinds)

    def dice(self, seed: int, kind: str) -> random.Random:
        """What decides targets and durations of one of its faults."""
        return random.Random(f"step/{seed}/{self.number}/{kind}")


@dataclass(frozen=True, slots=True)
class Orders:
    """What a run is to do: the plan of a seed, and the seconds after which it begins no step any more."""

    seed: int
    kinds: Mapping[str, Fault]
    plan: Sequence[Step]
    seconds: float


def draw(seed: int, seconds: float, kinds: Mapping[str, Fault]) -> list[Step]:
    """Every kind once, in a drawn order; then single ones and pairs for as long as `seconds` last."""
    dice = random.Random(f"plan/{seed}")
    names = sorted(kinds)
    first = dice.sample(names, len(names))
    steps = [Step(number, (name,)) for number, name in enumerate(first)]
    left = seconds - sum(_cost(step, kinds) for step in steps)
    while names:
        step = Step(len(steps), _some(names, kinds, dice))
        left -= _cost(step, kinds)
        if left < 0:
            break
        steps.append(step)
    return steps


def _some(names: Sequence[str], kinds: Mapping[str, Fault], dice: random.Random) -> tuple[str, ...]:
    name = dice.choice(names)
    others = [other for other in names if not kinds[other].touches & kinds[name].touches]
    if not others or dice.random() >= TWO:
        return (name,)
    return tuple(sorted((name, dice.choice(others))))


def _cost(step: Step, kinds: Mapping[str, Fault]) -> float:
    return max(kinds[kind].seconds for kind in step.kinds) + CALM_SECONDS
