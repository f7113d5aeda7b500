"""Who has which topics, and how many events each is due."""

from urllib.parse import parse_qs, urlsplit

import pytest

from loadtest.scenario import Scenario, Slow, Topics
from loadtest.subscriptions import chosen, due, groups, target


def test_all_own_and_shared_topics() -> None:
    assert chosen(Topics(count=3, each="all"), 2) == [[], []]
    assert chosen(Topics(count=3, each="own"), 5) == [[0], [1], [2], [0], [1]]
    shared = chosen(Topics(count=9, each="shared", subset=4), 50)
    assert all(len(set(own)) == 4 and own == sorted(own) for own in shared)
    assert len({tuple(own) for own in shared}) > 10
    assert shared == chosen(Topics(count=9, each="shared", subset=4), 50), "two runs are the same"


def test_each_is_due_what_its_topics_had() -> None:
    assert due([[], [0], [1, 2]], [5, 7, 11]) == [23, 5, 18]


def test_a_stream_asks_for_its_topics_and_for_plain_refusals() -> None:
    query = parse_qs(urlsplit(target([3, 5])).query)
    assert (query["topic"], query["refusal"]) == (["load.3", "load.5"], ["status"])
    assert parse_qs(urlsplit(target([])).query)["topic"] == ["load.>"]


def test_groups_share_all_connections_out_and_no_inspected_one_is_slow() -> None:
    scenario = Scenario(description="x", connections=1_000, rate=1, seconds=10, slow=Slow(share=0.1))
    grouped = groups(scenario)
    sizes = (len(grouped.inspected), len(grouped.slow), len(grouped.library), len(grouped.counting))
    assert sizes == (20, 100, 20, 860)
    everybody = [*grouped.inspected, *grouped.slow, *grouped.library, *grouped.counting]
    assert sorted(everybody) == list(range(1_000))
    assert max(grouped.library) - min(grouped.library) > 800, "they lie among all the others"


@pytest.mark.parametrize(("connections", "library"), [(2, 1), (60, 6), (10_000, 20)])
def test_one_in_ten_is_of_the_client_library_up_to_the_number_that_is_wanted(connections: int, library: int) -> None:
    assert len(groups(Scenario(description="x", connections=connections, rate=1, seconds=10)).library) == library


def test_one_connection_is_inspected() -> None:
    grouped = groups(Scenario(description="x", connections=1, rate=1, seconds=10))
    assert (grouped.inspected, grouped.slow, grouped.library, grouped.counting) == ([0], [], [], [])
