"""Payloads have exactly the size that is measured, are JSON, and come from real flights."""

import json

import pytest

from loadtest.payload import templates
from loadtest.wire import MARKER, TIMESTAMP
from slipstream.demo import flights


def test_every_flight_fits_into_170_bytes_for_the_uptime_of_a_century() -> None:
    made = templates(flights())
    assert len(made) == 5000
    century = 100 * 366 * 86_400 * 10**9
    assert {len(one.stamped(at, 170)) for one in made for at in (1, century)} == {170}


def test_a_payload_is_json_with_the_time_in_front_and_the_flight_behind() -> None:
    first = next(iter(flights()))
    payload = templates([first])[0].stamped(123_456_789, 170)
    fields = json.loads(payload)
    assert payload.startswith(TIMESTAMP)
    assert MARKER.endswith(TIMESTAMP)
    assert (fields["t"], fields["topic"], fields["origin"]) == (123_456_789, first["topic"], first["data"]["origin"])


def test_a_size_that_is_too_small_is_refused_with_the_size_needed() -> None:
    with pytest.raises(ValueError, match=r"does not fit into 50; use a larger size"):
        templates(flights())[0].stamped(1, 50)
