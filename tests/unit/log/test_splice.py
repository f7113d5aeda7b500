"""Each step of a reader on its way to the head, from numbers. See also tests/property/test_splice.py."""

import pytest

from slipstream.log.source import State
from slipstream.log.splice import Fence, Step, step


def fence(last_match: int, head: int, first: int = 1) -> Fence:
    return Fence(last_match, head, State("epoch000", first, 100, 0))


@pytest.mark.parametrize(
    ("cursor", "known", "expected"),
    [
        # The ring covers (50, 100].
        (100, None, Step.LIVE),
        (101, None, Step.WAIT),
        (99, None, Step.RING),
        (50, None, Step.RING),
        (49, None, Step.FENCE),
        (0, None, Step.FENCE),
        # A fence is of no use where the ring covers the cursor.
        (50, fence(90, 100), Step.RING),
        (100, fence(100, 100), Step.LIVE),
        (10, fence(30, 90), Step.REPLAY),
        (29, fence(30, 90), Step.REPLAY),
        (30, fence(30, 90), Step.JUMP),
        (31, fence(30, 90), Step.JUMP),
        # Nothing matches at all.
        (10, fence(0, 90), Step.JUMP),
        # Made when the head was where this reader is now: it says nothing of what came since.
        (40, fence(30, 40), Step.FENCE),
        (41, fence(30, 40), Step.FENCE),
        # What matched may have been evicted: the replay finds out and tells.
        (10, fence(0, 90, first=12), Step.REPLAY),
        (10, fence(0, 90, first=11), Step.JUMP),
        (30, fence(30, 90, first=40), Step.REPLAY),
    ],
)
def test_the_next_step(cursor: int, known: Fence | None, expected: Step) -> None:
    assert step(cursor, 50, 100, known) is expected


def test_beside_an_empty_ring_the_only_covered_place_is_the_head() -> None:
    assert step(7, 7, 7, None) is Step.LIVE
    assert step(6, 7, 7, None) is Step.FENCE
    assert step(8, 7, 7, None) is Step.WAIT
