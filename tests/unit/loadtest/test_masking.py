"""The masking bench measures what it says: events in which rules find something, and events in which they do not."""

import orjson
import pytest

from loadtest.masking import CASES, RULES, costs, frame, masked, records


def test_the_frame_of_a_tenant_without_rules_is_the_frame_alone() -> None:
    for personal in (False, True):
        for record in records(20, personal=personal):
            assert masked(0)(record) == frame(record)


def test_rules_find_nothing_in_plain_flights() -> None:
    for record in records(20, personal=False):
        assert masked(len(RULES))(record) == frame(record)


@pytest.mark.parametrize("rules", range(1, len(RULES) + 1))
def test_every_rule_finds_something_in_a_flight_with_a_passenger(rules: int) -> None:
    for record in records(20, personal=True):
        fewer, more = masked(rules - 1)(record), masked(rules)(record)
        assert fewer != more
        assert orjson.loads(more.partition(b"data: ")[2])["origin"] == orjson.loads(record.data)["origin"]


def test_every_case_has_a_figure() -> None:
    result = costs(20)
    assert len(result.figures) == len(CASES) + 2
    assert all(value is not None and value > 0 for value in result.figures.values())
    assert result.reached is not None
