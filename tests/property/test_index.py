"""The index against asking every filter."""

from itertools import product
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from slipstream.log.index import Index
from slipstream.protocol.topic import Filters

FEW = settings(derandomize=True, deadline=None, max_examples=120, database=None)

TOPICS = [".".join(tokens) for size in (1, 2, 3) for tokens in product("abc", repeat=size)]
TOPICS += ["a.b.a.b", "c.c.c.c"]
FILTERS = [
    ".".join((*tokens, *end))
    for size in (0, 1, 2, 3)
    for tokens in product("ab*", repeat=size)
    for end in ((), (">",))
    if size + len(end)
]

wanted = st.lists(st.sampled_from(FILTERS), min_size=1, max_size=3).map(Filters.parse)


def audiences(index: Index[int], topic: str) -> list[int]:
    found = list(index.match(topic))
    assert len(found) == len(set(found))
    return sorted(found)


@FEW
@given(st.lists(wanted, max_size=8), st.randoms(use_true_random=False))
def test_it_finds_whom_the_filters_say_and_leaves_nothing_behind(subscriptions: list[Filters], order: Random) -> None:
    index: Index[int] = Index()
    present = dict(enumerate(subscriptions))
    for value, filters in present.items():
        index.add(filters, value)
    leaving = list(present)
    order.shuffle(leaving)
    for left in [None, *leaving]:
        if left is not None:
            index.remove(present.pop(left), left)
        for topic in TOPICS:
            assert audiences(index, topic) == [one for one, filters in present.items() if filters.matches(topic)]
    assert index._exact == {}
    assert (index._root.children, index._root.here, index._root.rest, index._wild) == ({}, {}, {}, 0)


@FEW
@given(st.lists(st.tuples(wanted, st.booleans()), max_size=12))
def test_readers_may_come_while_others_go(script: list[tuple[Filters, bool]]) -> None:
    index: Index[int] = Index()
    present: dict[int, Filters] = {}
    for value, (filters, comes) in enumerate(script):
        if comes or not present:
            present[value] = filters
            index.add(filters, value)
        else:
            first = next(iter(present))
            index.remove(present.pop(first), first)
        for topic in TOPICS:
            assert audiences(index, topic) == [one for one, has in present.items() if has.matches(topic)]
