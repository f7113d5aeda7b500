"""Whatever text comes as preferences: it is read without an exception, and what is agreed is within the policy."""

from hypothesis import example, given
from hypothesis import strategies as st

from slipstream.protocol.retry import ATTEMPTS, RETRYABLE, Backoff, Preferences, Terms
from slipstream.resilience.pacing import RETRY_MIN_MS, spread, within
from slipstream.tenants.retry import Base, MaxAttempts, MaxJitter, Retry, negotiate

NAMES = st.sampled_from(["base", "max-jitter", "backoff", "idempotency-aware", "max-attempts", "retryable", "x"])
VALUES = st.one_of(
    st.sampled_from(["exponential", "linear", "true", "false", "?1", "", "(408 429 5xx)", "()", '"', "ms", "s"]),
    st.integers(-10, 10**12).map(str),
    st.integers(0, 10**10).map("{}ms".format),
    st.text(max_size=8),
)
MEMBERS = st.one_of(st.builds("{}={}".format, NAMES, VALUES), NAMES, st.text(max_size=20))
TEXTS = st.one_of(st.text(max_size=2_000), st.lists(MEMBERS, max_size=12).map(", ".join))


def ranges(low: int, high: int) -> st.SearchStrategy[tuple[int, int]]:
    ends = st.integers(low, high)
    return st.tuples(ends, ends).map(lambda two: (min(two), max(two)))


POLICIES = st.builds(
    lambda kinds, base, jitter, attempts: Retry(
        backoff=tuple(kinds),
        base=Base(min=base[0], max=base[1]),
        max_jitter=MaxJitter(min=jitter[0], max=jitter[1]),
        max_attempts=MaxAttempts(min=attempts[0], max=attempts[1]),
    ),
    st.lists(st.sampled_from(Backoff), min_size=1, max_size=3, unique=True),
    ranges(0, 3_600_000),
    ranges(0, 3_600_000),
    ranges(1, 1_000),
)


@given(POLICIES, TEXTS, st.integers(1_000, 600_000), st.integers(0, 200_000))
@example(Retry(), "max-jitter=50ms, backoff=exponential, idempotency-aware=true, max-attempts=3", 3_000, 0)
def test_what_is_agreed_is_allowed_and_what_was_allowed_is_agreed(
    policy: Retry, text: str, base_ms: int, live: int
) -> None:
    wanted = Preferences.parse(text)
    terms = negotiate(policy, wanted, base_ms, live)
    for asked, agreed, bounds in (
        (wanted.base_ms, terms.base_ms, policy.base),
        (wanted.max_jitter_ms, terms.max_jitter_ms, policy.max_jitter),
        (wanted.max_attempts, terms.max_attempts, policy.max_attempts),
    ):
        assert bounds.min <= agreed <= bounds.max
        if asked is not None and bounds.min <= asked <= bounds.max:
            assert agreed == asked
    assert terms.backoff in policy.backoff
    if wanted.backoff in policy.backoff:
        assert terms.backoff == wanted.backoff
    assert terms.idempotency_aware == (wanted.idempotency_aware is True)
    assert terms.retryable == RETRYABLE
    # What is told is ASCII on one line, and a client reads the very same out of it.
    assert terms.policy.isascii()
    assert terms.policy.isprintable()
    assert Terms.read(terms.policy, str(terms.base_ms), Terms(1, 1, Backoff.linear, True, 1, ())) == terms


@given(st.text(alphabet=st.characters(exclude_characters="=,"), max_size=300))
def test_garbage_is_no_preference(text: str) -> None:
    """But for the bare name of the one preference that is true or false."""
    wanted = Preferences.parse(text)
    assert wanted in (Preferences(), Preferences(idempotency_aware=True))
    terms = negotiate(Retry(), wanted, 3_000, 0)
    assert (terms.max_attempts, terms.backoff, terms.retryable) == (ATTEMPTS, Backoff.exponential, RETRYABLE)


@given(TEXTS, st.text(max_size=20))
def test_a_strangers_terms_never_break_a_client(policy: str, base: str) -> None:
    terms = Terms.read(policy, base, Terms())
    assert terms.max_attempts >= 1
    assert terms.base_ms >= 0
    assert terms.max_jitter_ms >= 0
    terms.backoff_ms(5)
    terms.covers(503)


@given(st.integers(0, 600_000), st.integers(0, 10**7), st.floats(0, 1, exclude_max=True), st.floats(1, 10**6))
def test_no_draw_is_outside_its_range_or_below_a_second(base_ms: int, live: int, roll: float, rate: float) -> None:
    for window in (spread(base_ms, live, rate), within(base_ms, live)):
        assert RETRY_MIN_MS <= window.low <= window.draw(roll) <= window.high
