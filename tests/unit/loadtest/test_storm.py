"""Who comes back with which id, and what counts as lost, repeated or late."""

import pytest

from loadtest.latency import Histogram
from loadtest.returning import Storm
from loadtest.storm import Load, faults, known_ids, spread
from loadtest.tally import Findings

IDS = [f"abcdefgh-{number}-1kz" for number in range(1, 1001)]


def test_ids_lie_evenly_over_the_last_events_and_each_client_knows_what_it_missed() -> None:
    plan = spread(IDS, Load(clients=200, events=400, rate=1), 1234)
    assert sorted(plan.due) == list(range(1, 400, 2))
    assert plan.due != sorted(plan.due), "they do not come in the order of their ids"
    assert all(plan.ids[at] == IDS[-1 - missed] for at, missed in enumerate(plan.due))


def test_there_may_be_fewer_events_than_wanted() -> None:
    plan = spread(IDS[:11], Load(clients=5, events=400, rate=1), 1234)
    assert sorted(plan.due) == [1, 3, 5, 7, 9]


def found(counts: list[int], **others: object) -> Storm:
    return Storm(streaming=3, caught_up=3, counts=counts, **others)  # type: ignore[arg-type]


def test_every_event_once_is_no_fault() -> None:
    assert faults(found([15, 25, 35]), [10, 20, 30], later=5) == []


def test_one_lost_and_one_repeated_do_not_cancel_out() -> None:
    assert faults(found([14, 27, 35]), [10, 20, 30], later=5) == ["1 events lost", "2 events too many"]


def test_what_the_inspected_clients_saw_and_those_that_never_came_are_told() -> None:
    seen = Findings(missing=1, disordered=2, gaps=3, errors={"late": 4}, latency=Histogram())  # type: ignore[arg-type]
    storm = found([15, 25, 35], inspected=seen, failed={"ECONNREFUSED": 6})
    storm.caught_up = 2
    assert faults(storm, [10, 20, 30], later=5) == [
        "1 clients that never had all",
        "2 events out of order",
        "1 events missing in sequence",
        "3 gap frames",
        "4 error frames",
        "6 x ECONNREFUSED",
    ]


async def test_ids_are_read_page_by_page() -> None:
    asked: list[str] = []
    pages = {
        "since=earliest": {"events": [{"id": "a-1"}, {"id": "a-2"}], "cursor": "a-2", "more": True},
        "last_event_id=a-2": {"events": [{"id": "a-3"}], "cursor": "a-3", "more": False},
    }

    async def ask(path: str) -> dict[str, object]:
        asked.append(path)
        return dict(pages[path.rpartition("&")[2]])

    assert await known_ids(ask, lambda _: None) == ["a-1", "a-2", "a-3"]
    assert len(asked) == 2
    assert all(path.startswith("/v1/poll?") for path in asked)


@pytest.mark.parametrize("counts", [[0, 0], [3, 0]])
def test_it_is_over_when_everybody_is_live_or_has_failed(counts: list[int]) -> None:
    storm = Storm(counts=counts, caught_up=1)
    assert not storm.over
    storm.fail("ECONNRESET")
    assert storm.over
