"""`python -m loadtest.filters`: what one event costs in the index of audiences, as the filters grow in number.

Each filter is an audience of its own, as with a topic for each user, and each event is for one of them. The last row is
what the index is there to avoid: asking every filter.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import orjson
from rich.console import Console
from rich.table import Table

from slipstream.log.index import Index
from slipstream.protocol.topic import Filters

SIZES: Final = (10, 100, 1_000, 10_000, 100_000)
_SCANNED_MOST: Final = 1_000
_REPEATS: Final = 5
_SEED: Final = 3

Match = Callable[[str], int]
"""How many audiences a topic has."""


@dataclass(frozen=True, slots=True)
class Kind:
    """Filters of one kind: the text of number n, and a topic that this filter alone matches."""

    title: str
    filter: Callable[[int], str]
    topic: Callable[[int], str]
    scanned: bool = False


KINDS: Final = (
    Kind("exact: inbox.N", lambda n: f"inbox.{n}", lambda n: f"inbox.{n}"),
    Kind("wildcard at the end: inbox.N.*", lambda n: f"inbox.{n}.*", lambda n: f"inbox.{n}.mail"),
    Kind("wildcard in front: *.N", lambda n: f"*.{n}", lambda n: f"inbox.{n}"),
    Kind("everything below: inbox.N.>", lambda n: f"inbox.{n}.>", lambda n: f"inbox.{n}.mail.7"),
    Kind(
        "half exact, half wildcard",
        lambda n: f"inbox.{n}.*" if n % 2 else f"inbox.{n}.mail",
        lambda n: f"inbox.{n}.mail",
    ),
    Kind("for comparison, every filter asked", lambda n: f"inbox.{n}.*", lambda n: f"inbox.{n}.mail", scanned=True),
)


def matcher(kind: Kind, size: int) -> Match:
    """An index, or a scan, of so many filters of a kind."""
    filters = [Filters.parse([kind.filter(number)]) for number in range(size)]
    if kind.scanned:
        return lambda topic: sum(each.matches(topic) for each in filters)
    index: Index[int] = Index()
    for number, each in enumerate(filters):
        index.add(each, number)
    return lambda topic: len(index.match(topic))


def cost(kind: Kind, size: int, events: int) -> float:
    """Microseconds for an event: the least of five runs, so that other work on the machine counts least.

    Raises ValueError when an event is not found to be for exactly one audience.
    """
    match = matcher(kind, size)
    dice = random.Random(_SEED)
    topics = [kind.topic(dice.randrange(size)) for _ in range(events)]
    best = float("inf")
    for _ in range(_REPEATS):
        began = time.perf_counter()
        found = 0
        for topic in topics:
            found += match(topic)
        best = min(best, time.perf_counter() - began)
        if found != events:
            raise ValueError(f"{kind.title}, {size:,} filters: {found:,} audiences for {events:,} events")
    return 1e6 * best / events


def costs(sizes: Sequence[int], events: int) -> dict[str, list[float | None]]:
    """Microseconds for an event by kind and size; None where a scan would take minutes."""
    return {
        kind.title: [
            None
            if kind.scanned and size > _SCANNED_MOST
            else cost(kind, size, max(20, events * 10 // size) if kind.scanned else events)
            for size in sizes
        ]
        for kind in KINDS
    }


def main(arguments: Sequence[str]) -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="python -m loadtest.filters", description=__doc__)
    parser.add_argument("--events", type=int, default=20_000, metavar="N", help="of each measurement (default 20,000)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to this file, too")
    options = parser.parse_args(arguments)
    console = Console()
    with console.status("matching"):
        found = costs(SIZES, options.events)
    table = Table(
        "filters of its kind", *(f"{size:,}" for size in SIZES), title="Microseconds for an event", title_justify="left"
    )
    for title, row in found.items():
        table.add_row(title, *("-" if value is None else f"{value:.2f}" for value in row))
    console.print(table)
    if options.json:
        document = {"filters": SIZES, "microseconds": found}
        options.json.write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2) + b"\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
