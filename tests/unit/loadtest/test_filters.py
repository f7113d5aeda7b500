"""Each kind of filters is what it says: an event of number n is for audience n alone."""

import pytest

from loadtest.filters import KINDS, Kind, cost, costs, matcher


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.title)
def test_a_topic_matches_its_own_filter_and_no_other(kind: Kind) -> None:
    match = matcher(kind, 20)
    assert [match(kind.topic(number)) for number in range(21)] == [1] * 20 + [0]


def test_an_event_that_is_not_for_exactly_one_is_found_out() -> None:
    with pytest.raises(ValueError, match="twice, 10 filters: 50 audiences for 5 events"):
        cost(Kind("twice", lambda n: f"a.{'>' if n % 2 else '*'}", lambda _: "a.b"), 10, 5)


def test_a_scan_is_not_asked_of_many_filters() -> None:
    found = costs([10, 1_001], 50)
    assert len(found) == len(KINDS)
    assert all(value is not None and value > 0 for row in found.values() for value in row[:1])
    assert [row[1] is None for row in found.values()] == [kind.scanned for kind in KINDS]
