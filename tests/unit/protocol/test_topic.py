import pytest

from slipstream.protocol.errors import Code, SlipstreamError
from slipstream.protocol.topic import Filter, Filters, check_tenant, check_topic, subject, topic_of

EIGHT = "a.b.c.d.e.f.g.h"


def refusal(call: object, *arguments: object, **options: object) -> str:
    assert callable(call)
    with pytest.raises(SlipstreamError) as caught:
        call(*arguments, **options)
    assert caught.value.code is Code.BAD_REQUEST
    return caught.value.message


@pytest.mark.parametrize("text", ["a", "0", "acme", "a-b", "a--b", "4711", "x" * 63])
def test_a_tenant_is_a_dns_label(text: str) -> None:
    assert check_tenant(text) == text


@pytest.mark.parametrize("text", ["", "-a", "a-", "A", "a_b", "a.b", "a b", "é", "a\n", "*", ">", "x" * 64])
def test_what_is_no_dns_label_is_no_tenant(text: str) -> None:
    message = refusal(check_tenant, text)
    assert "is not a tenant's name" in message
    assert "1 to 63 characters" in message


@pytest.mark.parametrize("text", ["a", "flights.HNL.SFO", "A_b-9", EIGHT, "x" * 64])
def test_a_topic_is_up_to_eight_tokens(text: str) -> None:
    assert check_topic(text) == text
    assert Filter.parse(text).literal


BAD_TOPICS = [
    ("", "token 1 is empty"),
    (".a", "token 1 is empty"),
    ("a.", "token 2 is empty"),
    ("a..b", "token 2 is empty"),
    (f"{EIGHT}.i", "it has 9 tokens"),
    ("x" * 65, "token 1 has 65 characters"),
    ("a b", "token 1 has the character ' '"),
    ("a.b\n", r"token 2 has the character '\n'"),
    ("a.\r\nid: 1", r"token 2 has the character '\r'"),
    ("a.é", r"token 2 has the character '\xe9'"),
    ("a.b*", "token 2 has the character '*'"),
    ("a.$SYS", "token 2 has the character '$'"),
    ("a.\u0663", r"token 2 has the character '\u0663'"),
]


@pytest.mark.parametrize(("text", "what"), BAD_TOPICS)
def test_a_bad_topic_is_refused_with_what_is_wrong_and_the_grammar(text: str, what: str) -> None:
    for call in (check_topic, Filter.parse):
        message = refusal(call, text)
        assert what in message
        assert "1 to 8 tokens" in message


@pytest.mark.parametrize(("text", "what"), [("a.*", "wildcard *"), (">", "wildcard >"), ("*.b", "wildcard *")])
def test_a_topic_has_no_wildcards(text: str, what: str) -> None:
    assert what in refusal(check_topic, text)


@pytest.mark.parametrize(("text"), [">.a", "a.>.b", "*.>.>"])
def test_only_the_last_token_of_a_filter_may_be_open(text: str) -> None:
    assert "> is not its last token" in refusal(Filter.parse, text)


def test_a_long_bad_topic_is_not_echoed_whole() -> None:
    assert len(refusal(check_topic, "\0" * 100_000)) < 300


@pytest.mark.parametrize(
    ("text", "hits", "misses"),
    [
        ("a.b", ["a.b"], ["a", "a.bb", "a.b.c", "b.a"]),
        ("a.*", ["a.b", "a.c"], ["a", "a.b.c", "aa.b"]),
        ("*", ["a", "b"], ["a.b"]),
        (">", ["a", "a.b", EIGHT], []),
        ("a.>", ["a.b", "a.b.c"], ["a", "ab", "ab.c", "b.a"]),
        ("a.*.>", ["a.b.c", "a.b.c.d"], ["a.b", "b.b.c"]),
        ("*.b", ["a.b"], ["a", "a.c", "a.b.c"]),
        ("a.*.c.*", ["a.b.c.d"], ["a.b.d.d", "a.b.c", "a.b.c.d.e"]),
        ("*.b.>", ["a.b.c", "x.b.c.d"], ["a.b", "a.c.c"]),
    ],
)
def test_a_filter_matches_as_nats_does(text: str, hits: list[str], misses: list[str]) -> None:
    one = Filter.parse(text)
    assert [topic for topic in hits + misses if one.matches(topic)] == hits


def test_a_filter_is_a_value_with_its_text_as_identity() -> None:
    assert Filter.parse("a.*") == Filter.parse("a.*")
    assert len({Filter.parse("a.*"), Filter.parse("a.*"), Filter.parse("a.b")}) == 2
    assert Filter.parse("a.*.>").tokens == ("a", "*", ">")
    assert not Filter.parse("a.>").literal
    assert repr(Filter.parse("a.>")) == "Filter(text='a.>')"
    with pytest.raises(AttributeError):
        Filter.parse("a").text = "b"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("wide", "narrow", "how"),
    [
        (">", "a.>", "wider"),
        ("a.>", "a.*", "wider"),
        ("a.>", "a.b.>", "wider"),
        ("a.*", "a.b", "wider"),
        ("*.*", "a.*", "wider"),
        (">", "*", "wider"),
        ("a.*.>", "a.b.c", "wider"),
        ("*.*.*.*.*.*.*.*", "*.*.*.*.*.*.*.>", "equal"),
        ("a.b.c.d.e.f.g.*", "a.b.c.d.e.f.g.>", "equal"),
    ],
)
def test_a_filter_covers_a_narrower_one(wide: str, narrow: str, how: str) -> None:
    assert Filter.parse(wide).covers(Filter.parse(wide))
    assert Filter.parse(wide).covers(Filter.parse(narrow))
    assert Filter.parse(narrow).covers(Filter.parse(wide)) is (how == "equal")


@pytest.mark.parametrize(("one", "other"), [("a.*", "*.b"), ("a", "a.>"), ("a.b", "a.c"), ("a.*", "a.*.>")])
def test_neither_filter_covers_the_other(one: str, other: str) -> None:
    assert not Filter.parse(one).covers(Filter.parse(other))
    assert not Filter.parse(other).covers(Filter.parse(one))


@pytest.mark.parametrize(
    ("texts", "canonical"),
    [
        ([], (">",)),
        (["b", "a", "b"], ("a", "b")),
        (["a.b", "a.*", "c"], ("a.*", "c")),
        (["x.>", "a.b", ">"], (">",)),
        (["a.>", "a.b.*", "a.b.c", "a"], ("a", "a.>")),
        (["a.b.c.d.e.f.g.>", "a.b.c.d.e.f.g.*"], ("a.b.c.d.e.f.g.*",)),
    ],
)
def test_filters_are_canonical(texts: list[str], canonical: tuple[str, ...]) -> None:
    filters = Filters.parse(texts)
    assert filters.texts == canonical
    assert tuple(one.text for one in filters.items) == canonical
    assert filters == Filters.parse(reversed(texts))
    assert hash(filters) == hash(Filters.parse(reversed(texts)))
    assert filters.everything is (canonical == (">",))


def test_filters_are_limited_after_duplicates_are_gone() -> None:
    texts = [f"t{number}" for number in range(32)]
    assert len(Filters.parse(texts * 2).items) == 32
    assert "33 topics are more than the 32" in refusal(Filters.parse, [*texts, "more"])
    assert "2 topics are more than the 1" in refusal(Filters.parse, ["a", "b"], limit=1)


def test_one_bad_filter_refuses_them_all() -> None:
    assert "token 2 is empty" in refusal(Filters.parse, ["a.b", "a..b"])


def test_filters_match_when_one_does() -> None:
    filters = Filters.parse(["flights.HNL.*", "quakes.>"])
    assert filters.matches("flights.HNL.SFO")
    assert filters.matches("quakes.us.minor")
    assert not filters.matches("flights.SFO.HNL")
    assert Filters.parse([]).matches("anything.at.all")


@pytest.mark.parametrize(
    ("texts", "narrowest"),
    [
        ([], ">"),
        (["a.b.c"], "a.b.c"),
        (["a.b.c", "a.d.c"], "a.*.c"),
        (["a.b", "a.b.c"], "a.>"),
        (["a.b.c", "x.b.c.d"], "*.b.>"),
        (["a.b.c", "a.b.d.e"], "a.b.>"),
        (["a.>", "a"], ">"),
        (["a.>", "b.>"], "*.>"),
        (["a.b.>", "a.c.*"], "a.*.>"),
        (["a.*", "*.b"], "*.*"),
        (["a", "b"], "*"),
        (["a", "b.c.d"], ">"),
    ],
)
def test_the_narrowest_common_filter(texts: list[str], narrowest: str) -> None:
    assert Filters.parse(texts).narrowest() == narrowest


def test_a_subject_carries_tenant_and_topic() -> None:
    assert subject("acme", "flights.>") == "sse.acme.flights.>"
    assert topic_of("sse.acme.flights.HNL.SFO") == "flights.HNL.SFO"
    assert topic_of(subject("acme", "a")) == "a"


@pytest.mark.parametrize("text", ["", "sse", "sse.acme"])
def test_a_subject_without_a_topic_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match="check the stream's subjects"):
        topic_of(text)
