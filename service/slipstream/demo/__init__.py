"""Real events, carried in the package: what `slipstream dev` shows, and what tests and benchmarks send.

Nothing here imports the rest of slipstream.
"""

import gzip
from collections.abc import Iterator
from importlib.resources import files
from typing import Any, Final, NotRequired, TypedDict

import orjson

PROVENANCE: Final = (
    "Flights of 2001: US Bureau of Transportation Statistics. Earthquakes of one week: US Geological Survey. "
    "Both public domain, by way of the npm package vega-datasets."
)
"""Where the events come from, to be shown with them."""


class DemoEvent(TypedDict):
    """One event as a producer would publish it. id: the source's own, where it has one."""

    topic: str
    event: str
    id: NotRequired[str]
    data: dict[str, Any]


def flights() -> Iterator[DemoEvent]:
    """5,000 flights in the order of departure, on topics `flights.<origin>.<destination>`; no ids."""
    return _events("flights.ndjson.gz")


def earthquakes() -> Iterator[DemoEvent]:
    """1,707 earthquakes in the order of time, on topics `quakes.<network>.<class>`; ids are the USGS's."""
    return _events("earthquakes.ndjson.gz")


def _events(name: str) -> Iterator[DemoEvent]:
    with files(__name__).joinpath(name).open("rb") as packed, gzip.open(packed) as lines:
        for line in lines:
            yield orjson.loads(line)
