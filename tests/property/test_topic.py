"""Filters against a model: what a filter means is the set of topics a regular expression picks.

The alphabet is small, so sets can be compared whole: literals a and b in filters, a, b and c in topics (c stands for
any other token), up to 3 tokens in filters, up to 4 in topics. `DEEP` puts the same at the depth limit of 8.
"""

import re
from functools import cache
from itertools import product

from hypothesis import given, settings
from hypothesis import strategies as st

from slipstream.protocol.errors import SlipstreamError
from slipstream.protocol.topic import Filter, Filters, check_topic

FEW = settings(derandomize=True, deadline=None, max_examples=300, database=None)

DEEP = "p.p.p.p.p."
TOPICS = tuple(".".join(tokens) for size in (1, 2, 3, 4) for tokens in product("abc", repeat=size))
DEEP_TOPICS = tuple(f"{DEEP}{topic}" for topic in TOPICS if topic.count(".") < 3)
FILTERS = tuple(
    ".".join((*tokens, *end))
    for size in (0, 1, 2, 3)
    for tokens in product("ab*", repeat=size)
    for end in ((), (">",))
    if 1 <= size + len(end) <= 3
)

filters = st.sampled_from(FILTERS)


@cache
def meaning(text: str, topics: tuple[str, ...] = TOPICS) -> frozenset[str]:
    expression = re.escape(text).replace(r"\*", "[^.]+").replace(">", ".+")
    return frozenset(topic for topic in topics if re.fullmatch(expression, topic))


def test_filters_match_what_the_model_picks() -> None:
    for text in FILTERS:
        assert {topic for topic in TOPICS if Filter.parse(text).matches(topic)} == meaning(text), text
        deep = Filter.parse(DEEP + text)
        assert {topic for topic in DEEP_TOPICS if deep.matches(topic)} == meaning(DEEP + text, DEEP_TOPICS), text


def test_a_filter_covers_another_exactly_when_it_means_no_less() -> None:
    parsed = {text: Filter.parse(text) for text in FILTERS}
    for wide, narrow in product(FILTERS, repeat=2):
        assert parsed[wide].covers(parsed[narrow]) == (meaning(wide) >= meaning(narrow)), (wide, narrow)


def test_covering_is_exact_at_the_depth_limit_too() -> None:
    parsed = {text: Filter.parse(DEEP + text) for text in FILTERS}
    for wide, narrow in product(FILTERS, repeat=2):
        truth = meaning(DEEP + wide, DEEP_TOPICS) >= meaning(DEEP + narrow, DEEP_TOPICS)
        assert parsed[wide].covers(parsed[narrow]) == truth, (wide, narrow)


@FEW
@given(st.lists(filters, max_size=6))
def test_canonical_filters_mean_what_was_asked_for(texts: list[str]) -> None:
    asked = frozenset[str]().union(*map(meaning, texts or [">"]))
    found = Filters.parse(texts)
    assert {topic for topic in TOPICS if found.matches(topic)} == asked
    assert list(found.texts) == sorted(set(found.texts))
    for one, other in product(found.items, repeat=2):
        assert one is other or not one.covers(other)
    assert Filters.parse(found.texts) == found


@FEW
@given(st.lists(filters, min_size=1, max_size=4))
def test_the_narrowest_filter_covers_all_and_is_inside_every_other_that_does(texts: list[str]) -> None:
    narrowest = Filters.parse(texts).narrowest()
    asked = frozenset[str]().union(*map(meaning, texts))
    assert all(Filter.parse(narrowest).covers(Filter.parse(text)) for text in texts)
    for rival in FILTERS:
        assert not meaning(rival) >= asked or meaning(rival) >= meaning(narrowest), rival


@FEW
@given(st.lists(filters.map(lambda text: DEEP + text), min_size=1, max_size=4))
def test_the_narrowest_filter_covers_all_at_the_depth_limit(texts: list[str]) -> None:
    narrowest = Filter.parse(Filters.parse(texts).narrowest())
    assert all(narrowest.covers(Filter.parse(text)) for text in texts)


@FEW
@given(st.text("ab.*>_ \n", max_size=20) | st.text(max_size=20))
def test_any_text_is_a_topic_a_filter_or_refused(text: str) -> None:
    tokens = text.split(".")
    plain = [re.fullmatch("[A-Za-z0-9_-]{1,64}", token) is not None for token in tokens]
    wild = [token == "*" or (token == ">" and index == len(tokens) - 1) for index, token in enumerate(tokens)]
    is_topic = len(tokens) <= 8 and all(plain)
    is_filter = len(tokens) <= 8 and all(one or other for one, other in zip(plain, wild, strict=True))
    for call, expected in ((check_topic, is_topic), (Filter.parse, is_filter)):
        try:
            call(text)
            allowed = True
        except SlipstreamError:
            allowed = False
        assert allowed == expected, text
