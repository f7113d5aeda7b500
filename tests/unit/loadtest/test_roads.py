"""What each road carries, and what counts as bytes that came out otherwise."""

from collections.abc import Callable, Sequence
from itertools import islice

import pytest

from loadtest.roads import BATCH, Event, Ground, arrays, batches, cloudevents, faults, flight, ndjson, singles
from slipstream.demo import flights
from slipstream.protocol.cloudevents import read_event
from slipstream.protocol.publication import Publication, parse_publication, read_publication
from slipstream.protocol.raw_json import Members, parse_array

EVENTS: list[Event] = [flight(event) for event in islice(flights(), 2_500)]
GROUND = Ground(None, EVENTS, 1)  # type: ignore[arg-type]
LIMIT = 10_000


def of_array(read: Callable[[Members, int], Publication]) -> Callable[[bytes], list[Publication]]:
    return lambda body: [read(members, LIMIT) for members in parse_array(body.decode()) if members is not None]


@pytest.mark.parametrize(
    ("bodies", "read", "count"),
    [
        (singles, lambda body: [parse_publication(body, LIMIT)], 2_500),
        (arrays, of_array(read_publication), 3),
        (ndjson, lambda body: [parse_publication(line, LIMIT) for line in body.split(b"\n")], 3),
        (cloudevents, of_array(read_event), 3),
    ],
)
def test_a_road_carries_the_events_as_they_are(
    bodies: Callable[[Ground], list[bytes]], read: Callable[[bytes], list[Publication]], count: int
) -> None:
    made = bodies(GROUND)
    assert len(made) == count
    found = [event for body in made for event in read(body)]
    assert [(event.topic, event.event, event.data) for event in found] == EVENTS


def test_rounds_do_not_share_their_ids() -> None:
    assert set(cloudevents(GROUND)).isdisjoint(cloudevents(Ground(None, EVENTS, 2)))  # type: ignore[arg-type]


def test_batches_are_full_but_for_the_last() -> None:
    assert [len(part) for part in batches([b""] * (2 * BATCH + 1))] == [BATCH, BATCH, 1]


@pytest.mark.parametrize(
    ("found", "ordered", "told"),
    [
        (EVENTS, True, []),
        (EVENTS[::-1], False, []),
        (EVENTS[:1] * 2 + EVENTS[2:], True, ["x: 1 events came out otherwise than they went in"]),
        ([EVENTS[1], EVENTS[0], *EVENTS[2:]], True, ["x: 2 events came out otherwise than they went in"]),
        (EVENTS[1:], True, ["x: 2,499 events came out of 2,500"]),
        (
            [(*EVENTS[0][:2], EVENTS[0][2] + b" "), *EVENTS[1:]],
            True,
            ["x: 1 events came out otherwise than they went in"],
        ),
    ],
)
def test_what_came_out_otherwise_is_told(found: Sequence[Event], ordered: bool, told: list[str]) -> None:  # noqa: FBT001 - a parameter
    assert faults("x", EVENTS, found, ordered=ordered) == told
