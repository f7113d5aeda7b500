import pytest

from slipstream.protocol.retry import RETRYABLE, TEXT_MAX, Backoff, Preferences, Terms, parse_ms

EXAMPLE = "max-jitter=50ms, backoff=exponential, idempotency-aware=true, max-attempts=3"


def test_the_preferences_of_the_contract_are_read() -> None:
    assert Preferences.parse(EXAMPLE) == Preferences(None, 50, Backoff.exponential, True, 3)
    assert str(Preferences.parse(EXAMPLE)) == EXAMPLE


@pytest.mark.parametrize(
    ("text", "preferences"),
    [
        ("", Preferences()),
        ("max-jitter=2s,base=100ms", Preferences(base_ms=100, max_jitter_ms=2_000)),
        ("\tmax-attempts=3 \t,  backoff=linear", Preferences(max_attempts=3, backoff=Backoff.linear)),
        ("idempotency-aware", Preferences(idempotency_aware=True)),
        ("idempotency-aware=?1", Preferences(idempotency_aware=True)),
        ("idempotency-aware=?0", Preferences(idempotency_aware=False)),
        ("idempotency-aware=false", Preferences(idempotency_aware=False)),
        ("max-attempts=1, max-attempts=9", Preferences(max_attempts=9)),
        ("max-attempts=1, max-attempts=x", Preferences()),
    ],
)
def test_what_a_member_says(text: str, preferences: Preferences) -> None:
    assert Preferences.parse(text) == preferences


@pytest.mark.parametrize(
    "member",
    [
        *("max-jitter", "max-jitter=", "max-jitter=50", "max-jitter=-1ms", "max-jitter=1.5s", "max-jitter=50 ms"),
        *("max-jitter=5m", "max-jitter=\u0665ms", "max-jitter=9999999999ms", "MAX-JITTER=50ms"),
        *("backoff", "backoff=Linear", "backoff=fibonacci", 'backoff="linear"', "backoff=linear;q=1"),
        *("max-attempts", "max-attempts=+3", "max-attempts=3.0", "max-attempts=\u0663", "max-attempts=1e1"),
        *(
            "idempotency-aware=",
            "idempotency-aware=yes",
            "idempotency-aware=TRUE",
            "=true",
            "=",
            ";",
            "\0",
            "(",
            "a=(b",
        ),
    ],
)
def test_what_is_malformed_says_nothing_and_leaves_the_others(member: str) -> None:
    assert Preferences.parse(member) == Preferences()
    assert Preferences.parse(f"{member}, base=7ms") == Preferences(base_ms=7)


def test_a_text_without_end_is_not_read() -> None:
    text = "max-attempts=3," + " " * TEXT_MAX
    assert Preferences.parse(text[:TEXT_MAX]) == Preferences(max_attempts=3)
    assert Preferences.parse(text) == Preferences()


def test_the_terms_go_over_the_wire_and_back() -> None:
    terms = Terms(250, 50, Backoff.constant, True, 7, ("429",))
    assert terms.policy == "max-jitter=50ms, backoff=constant, idempotency-aware=true, max-attempts=7, retryable=(429)"
    assert Terms.read(terms.policy, str(terms.base_ms), Terms()) == terms
    assert Terms.read(Terms().policy, "1000", terms) == Terms()


@pytest.mark.parametrize(
    "policy", ["", "nonsense", "retryable=x, max-attempts=0", "retryable=(6xx)", "retryable=(4290)"]
)
def test_terms_that_cannot_be_read_are_those_from_before(policy: str) -> None:
    before = Terms(250, 50, Backoff.constant, True, 7, ("429",))
    assert Terms.read(policy, "soon", before) == before


def test_nothing_may_be_retried_where_the_list_is_empty() -> None:
    assert Terms.read("retryable=()", "", Terms()).retryable == ()


def test_a_retry_is_for_408_429_and_5xx() -> None:
    terms = Terms()
    assert terms.retryable == RETRYABLE
    assert [status for status in range(200, 600) if terms.covers(status)] == [408, 429, *range(500, 600)]
    narrow = terms._replace(retryable=("429",))
    assert [status for status in range(200, 600) if narrow.covers(status)] == [429]


@pytest.mark.parametrize(
    ("backoff", "waits"),
    [
        (Backoff.exponential, [100, 200, 400, 800]),
        (Backoff.linear, [100, 200, 300, 400]),
        (Backoff.constant, [100, 100, 100, 100]),
    ],
)
def test_how_the_wait_grows(backoff: Backoff, waits: list[int]) -> None:
    terms = Terms(base_ms=100, backoff=backoff)
    assert [terms.backoff_ms(failures) for failures in (1, 2, 3, 4)] == waits
    assert terms.backoff_ms(1_000_000) < 2**62, "it stays a number that a clock can take"


def test_a_time_has_a_unit() -> None:
    assert (parse_ms("50ms"), parse_ms("2s"), parse_ms("0ms")) == (50, 2_000, 0)
    for wrong in ("50", "", "2 s", "1m", "-1s"):
        with pytest.raises(ValueError, match="50ms, 2s"):
            parse_ms(wrong)
