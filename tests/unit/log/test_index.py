"""Which audiences an event is for. See also tests/property/test_index.py."""

import pytest

from slipstream.log.index import Index
from slipstream.protocol.topic import Filters


def index_of(**filters: list[str]) -> Index[str]:
    index: Index[str] = Index()
    for value, texts in filters.items():
        index.add(Filters.parse(texts), value)
    return index


@pytest.mark.parametrize(
    ("topic", "found"),
    [
        ("a", ["literal", "one", "all"]),
        ("a.b", ["rest", "middle", "all"]),
        ("a.b.c", ["rest", "all"]),
        ("b", ["one", "all"]),
        ("c.b", ["middle", "all"]),
        ("c.c", ["all"]),
    ],
)
def test_an_event_is_for_whom_its_topic_matches(topic: str, found: list[str]) -> None:
    index = index_of(literal=["a"], one=["*"], rest=["a.>"], middle=["*.b"], all=[">"])
    assert sorted(index.match(topic)) == sorted(found)


def test_a_value_is_found_once_however_many_filters_match() -> None:
    index = index_of(x=["a.b", "*.c", "d.>"])
    index.add(Filters.parse(["a.*", "a.b.>"]), "y")
    assert list(index.match("a.b")) == ["x", "y"]


def test_without_wildcards_nobody_else_is_found() -> None:
    index = index_of(x=["a"], y=["a", "b"])
    assert list(index.match("a")) == ["x", "y"]
    assert list(index.match("b")) == ["y"]
    assert list(index.match("c")) == []


def test_to_remove_one_leaves_the_others() -> None:
    index = index_of(x=["a", "b.*"], y=["a", "b.*", "b.>"])
    index.remove(Filters.parse(["a", "b.*"]), "x")
    assert list(index.match("a")) == ["y"]
    assert list(index.match("b.c")) == ["y"]


@pytest.mark.parametrize("texts", [["z"], ["a.*"], ["z.*.y"], ["a.>"], [">"]])
def test_to_remove_what_is_not_there_is_an_error_and_changes_nothing(texts: list[str]) -> None:
    index = index_of(x=["a.*"])
    with pytest.raises(KeyError):
        index.remove(Filters.parse(texts), "y")
    assert list(index.match("a.b")) == ["x"]
    index.remove(Filters.parse(["a.*"]), "x")
    assert index._root.children == {}
    assert not index._wild


def test_what_was_added_twice_is_removed_once() -> None:
    index = index_of(x=["*", "a"])
    index.add(Filters.parse(["*", "a"]), "x")
    index.remove(Filters.parse(["*", "a"]), "x")
    assert list(index.match("a")) == []
    assert not index._wild
