"""What begins in a second, by tenants that come in any order, against what each was promised and what all may have."""

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from slipstream.quotas.crowd import Crowd

RATE = 40
COMING = st.lists(st.tuples(st.floats(0.0, 0.2), st.sampled_from("abc"), st.integers(1, 60)), max_size=60)


@settings(max_examples=200, deadline=None)
@given(coming=COMING)
def test_all_together_are_bounded_and_who_came_for_less_than_its_part_is_never_refused(
    coming: list[tuple[float, str, int]],
) -> None:
    crowd, now, passed = Crowd(RATE), 1_000.0, 0
    tried: list[tuple[float, str]] = []
    for pause, tenant, times in coming:
        now += pause
        for _ in range(times):
            lately = Counter(name for at, name in tried if at > now - 2.5)
            waits = crowd.take(now, tenant)
            tried.append((now, tenant))
            passed += not waits
            if not lately[tenant]:
                assert not waits, "who comes alone is let in, whatever the others do"
    assert passed <= RATE * (2 + now - 1_000.0)


def test_a_tenant_with_ten_times_the_rate_leaves_another_its_part() -> None:
    crowd, refused = Crowd(RATE), 0
    for tick in range(4_000):
        now = 1_000 + tick / 400
        crowd.take(now, "storm")
        if tick % 40 == 0:
            refused += bool(crowd.take(now, "other"))
    assert not refused


def test_one_alone_has_all_of_it() -> None:
    crowd = Crowd(RATE)
    passed = sum(not crowd.take(1_000 + tick / 400, "storm") for tick in range(4_000))
    assert RATE * 10 <= passed <= RATE * 11.5


def test_many_tenants_at_once_are_two_seconds_worth_at_most() -> None:
    crowd = Crowd(RATE)
    assert sum(not crowd.take(1_000.0, str(number)) for number in range(1_000)) == 2 * RATE


def test_who_comes_late_has_its_part_of_the_half_and_no_more() -> None:
    crowd = Crowd(RATE)
    passed = [sum(not crowd.take(1_000.0, tenant) for _ in range(100)) for tenant in ("storm", "second", "third")]
    assert passed == [RATE, RATE // 2 // 2, RATE // 2 // 3]


def test_tenants_are_forgotten_once_their_part_is_full_again() -> None:
    crowd = Crowd(RATE)
    crowd.take(1_000.0, "a")
    crowd.take(1_001.0, "b")
    assert len(crowd) == 2
    crowd.take(1_001.25, "b")
    assert len(crowd) == 1
    crowd = Crowd(RATE)
    for number in range(1_000):
        crowd.take(number, str(number))
    assert len(crowd) <= 2
