"""The cap over all rings: the sum is right, it holds, and the quietest pays first."""

import random

from slipstream.log.budget import Budget
from slipstream.log.ring import Limits, Ring
from slipstream.protocol.event import Record

PLENTY = Limits(events=1000, size=1 << 30, age_ms=1 << 40)
ONE = Record(1, 0, "t", "", b"").size


def ring() -> Ring:
    return Ring(PLENTY, 0)


def grow(budget: Budget, one: Ring, count: int = 1) -> None:
    for _ in range(count):
        one.append(Record(one.last + 1, 0, "t", "", b""))
        budget.settle(one)


def test_under_the_cap_nothing_is_evicted() -> None:
    budget, one, two = Budget(4 * ONE), ring(), ring()
    grow(budget, one, 2)
    grow(budget, two, 2)
    assert (len(one), len(two), budget.total) == (2, 2, 4 * ONE)


def test_the_ring_that_was_settled_longest_ago_pays_first() -> None:
    budget, quiet, middle, busy = Budget(6 * ONE), ring(), ring(), ring()
    for one in (quiet, middle, busy):
        grow(budget, one, 2)
    grow(budget, busy)
    assert [len(one) for one in (quiet, middle, busy)] == [1, 2, 3]
    grow(budget, busy, 2)
    assert [len(one) for one in (quiet, middle, busy)] == [0, 1, 5]
    grow(budget, middle)
    assert [len(one) for one in (quiet, middle, busy)] == [0, 2, 4], "an event makes a ring the least quiet"


def test_where_no_other_has_anything_a_ring_pays_with_its_own_oldest() -> None:
    budget, one = Budget(3 * ONE), ring()
    grow(budget, one, 5)
    assert [record.seq for record in one.after(one.base)] == [3, 4, 5]
    assert budget.total == 3 * ONE


def test_an_event_larger_than_the_cap_empties_every_ring() -> None:
    budget, other, one = Budget(2 * ONE), ring(), ring()
    grow(budget, other)
    one.append(Record(1, 0, "t", "", b"x" * 10_000))
    budget.settle(one)
    assert (len(other), len(one), budget.total) == (0, 0, 0)


def test_a_ring_that_is_forgotten_weighs_nothing() -> None:
    budget, one, two = Budget(4 * ONE), ring(), ring()
    grow(budget, one, 3)
    grow(budget, two)
    budget.forget(one)
    assert budget.total == ONE
    budget.forget(one)
    assert budget.total == ONE, "to forget twice is to forget once"
    grow(budget, two, 3)
    assert (len(one), len(two)) == (3, 4), "and it is not trimmed for others"


def test_a_ring_that_shrank_by_itself_is_weighed_as_it_is() -> None:
    budget, one = Budget(4 * ONE), Ring(PLENTY._replace(events=2), 0)
    grow(budget, one, 5)
    assert (len(one), budget.total) == (2, 2 * ONE)


def test_the_sum_is_right_and_the_cap_holds_whatever_happens() -> None:
    roll = random.Random(1)
    cap = 40 * ONE
    budget = Budget(cap)
    rings = [Ring(PLENTY._replace(events=roll.choice([5, 50])), 0) for _ in range(6)]
    known: set[Ring] = set()
    for _ in range(3000):
        one = roll.choice(rings)
        if roll.random() < 0.02:
            budget.forget(one)
            known.discard(one)
            rings[rings.index(one)] = Ring(PLENTY, 0)
        else:
            one.append(Record(one.last + 1, 0, "t", "", b"x" * roll.choice([0, 10, 500, 3 * ONE])))
            budget.settle(one)
            known.add(one)
        assert budget.total == sum(each.size for each in known) <= cap
