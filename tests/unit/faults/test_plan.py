"""What a seed gives: the same plan each time, every kind in it, and never two faults that get in each other's way."""

import re
from pathlib import Path

import pytest

import tests.faults.kinds  # noqa: F401 - fills the registry
from tests.faults.fault import KINDS, fault
from tests.faults.plan import SHORT, draw
from tests.faults.world import World


def test_there_are_many_kinds_and_each_says_what_it_does() -> None:
    assert len(KINDS) >= 22
    for name, kind in KINDS.items():
        assert kind.name == name
        assert kind.does
        assert kind.undone
        assert kind.touches
        assert 0 < kind.seconds <= 30
    assert set(SHORT) <= KINDS.keys()


def test_a_name_is_given_once() -> None:
    async def nothing(world: World, dice: object) -> str:
        raise AssertionError(world, dice)

    with pytest.raises(ValueError, match="edge-kill"):
        fault("edge-kill", does="it", undone="it", seconds=1, touches="edges")(nothing)


def test_a_seed_gives_one_plan_and_one_set_of_dice() -> None:
    first, second, other = draw(7, 600, KINDS), draw(7, 600, KINDS), draw(8, 600, KINDS)
    assert first == second != other
    kind = first[0].kinds[0]
    assert first[0].dice(7, kind).random() == second[0].dice(7, kind).random() != first[0].dice(8, kind).random()
    assert first[0].dice(7, kind).random() != first[1].dice(7, kind).random()


@pytest.mark.parametrize("seed", range(20))
def test_every_kind_comes_alone_first_and_pairs_fit(seed: int) -> None:
    plan = draw(seed, 600, KINDS)
    first, later = plan[: len(KINDS)], plan[len(KINDS) :]
    assert sorted(step.name for step in first) == sorted(KINDS)
    assert later
    assert [step.number for step in plan] == list(range(len(plan)))
    for step in later:
        touched = [touch for kind in step.kinds for touch in KINDS[kind].touches]
        assert len(touched) == len(set(touched)), step.name


def test_there_are_pairs() -> None:
    assert any(len(step.kinds) == 2 for seed in range(5) for step in draw(seed, 600, KINDS))


def test_a_short_time_still_has_every_kind_once() -> None:
    assert len(draw(1, 0, KINDS)) == len(KINDS)


def test_the_page_tells_of_every_kind_and_of_no_other() -> None:
    page = Path(__file__).parents[3] / "docs" / "chaos.md"
    told = re.findall(r"^\| `([a-z-]+)` \| (.+?) \| (.+?) \| (.*?) ?\|$", page.read_text(), re.MULTILINE)
    assert sorted(told) == sorted((kind.name, kind.does, kind.undone, kind.checks) for kind in KINDS.values())
