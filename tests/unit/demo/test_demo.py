"""The events that the package carries are real, whole, and publishable as they are."""

from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from slipstream.demo import PROVENANCE, DemoEvent, earthquakes, flights
from slipstream.protocol.topic import check_topic


@pytest.mark.parametrize(("source", "count"), [(flights, 5_000), (earthquakes, 1_707)])
def test_every_event_is_whole_and_has_a_topic(source: Callable[[], Iterator[DemoEvent]], count: int) -> None:
    events = list(source())
    assert len(events) == count
    for event in events:
        assert check_topic(event["topic"])
        assert event["event"]
        assert event["data"]


def test_flights_are_in_the_order_of_time_and_on_their_route() -> None:
    events = list(flights())
    assert [event["data"]["date"] for event in events] == sorted(event["data"]["date"] for event in events)
    routes = [f"flights.{event['data']['origin']}.{event['data']['destination']}" for event in events]
    assert [event["topic"] for event in events] == routes
    assert Counter(event["event"] for event in events).keys() == {"delayed", "departed"}


def test_earthquakes_are_in_the_order_of_time_with_the_ids_of_their_source() -> None:
    events = list(earthquakes())
    times = [event["data"]["properties"]["time"] for event in events]
    assert times == sorted(times)
    assert len({event["id"] for event in events}) == len(events)
    assert all(event["id"] in event["data"]["properties"]["ids"] for event in events)


def test_the_provenance_names_both_sources() -> None:
    assert "Bureau of Transportation Statistics" in PROVENANCE
    assert "Geological Survey" in PROVENANCE
