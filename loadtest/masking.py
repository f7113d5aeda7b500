"""`python -m loadtest.masking`: what masking costs for each event and view, beside making the frame alone.

Real flights, as they are and with a passenger (phone, id card, email, name and an address that is JSON in a string).
Masking is done once for each event and view, never for each connection.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final

import orjson
from rich.console import Console

from loadtest import report
from loadtest.command import REPOSITORY
from loadtest.machine import available_cores, conditions
from loadtest.result import Result
from slipstream.demo import flights
from slipstream.protocol.event import Record
from slipstream.protocol.frame import encode
from slipstream.protocol.position import format_id
from slipstream.shape.event import Event
from slipstream.shape.key import sequence
from slipstream.shape.shaper import make_shaper
from slipstream.tenants import Tenant, TenantSpec
from slipstream.tenants.shaping import MaskingRule

_REPEATS: Final = 5
_EPOCH: Final = "abcdefgh"
_TIME_MS: Final = 1_700_000_000_000
_SALT: Final = "salt"
_SECRET: Final = bytes(range(32))

RULES: Final = (
    MaskingRule(field="phone", method="phone"),
    MaskingRule(field="id_card", method="id_card"),
    MaskingRule(field="email", method="email"),
    MaskingRule(field="street", method="redact"),
    MaskingRule(field="name", method="hash", secret=_SALT),
)

Work = Callable[[Record], bytes]
"""Makes the frame of a record."""


@dataclass(frozen=True, slots=True)
class Case:
    """A number of rules, and whether the events have what they mask."""

    rules: int
    personal: bool


CASES: Final = tuple(Case(rules, personal) for personal in (False, True) for rules in (0, 1, 5))


def records(events: int, *, personal: bool) -> list[Record]:
    """The first flights as they are stored."""
    return [
        Record(
            number,
            _TIME_MS + number,
            flight["topic"],
            flight["event"],
            _data(flight["data"], number, personal=personal),
        )
        for number, flight in enumerate(islice(flights(), events), 1)
    ]


def frame(record: Record) -> bytes:
    """What is done for every event anyway."""
    return encode(format_id(_EPOCH, record.seq, record.time_ms), record.event, record.data)


def masked(rules: int) -> Work:
    """What is done for a tenant with so many rules, for readers without the scope: the event, masked, as a frame."""
    spec = TenantSpec(masking=RULES[:rules])
    shaper = make_shaper(Tenant.of("bench", spec), lambda _tenant, _name: _SECRET, {}, {"sequence": sequence})

    def work(record: Record) -> bytes:
        event = shaper.outcome(record, _EPOCH, shaper.plain)
        if not isinstance(event, Event):
            raise TypeError(f"an event was not shown: {event}")
        return encode(event.id, event.event, event.data)

    return work


def cost(work: Work, events: Sequence[Record]) -> float:
    """CPU microseconds for an event: the least of five runs, so that other work on the machine counts least."""
    best = float("inf")
    for _ in range(_REPEATS):
        began = time.process_time()
        for record in events:
            work(record)
        best = min(best, time.process_time() - began)
    return 1e6 * best / len(events)


def costs(events: int) -> Result:
    """All cases, in CPU us for each event. `reached` is what five rules add where all of them find something."""
    figures: dict[str, float | None] = {}
    found: dict[Case, float] = {}
    for personal in (False, True):
        stored = records(events, personal=personal)
        what = "flights with a passenger" if personal else "plain flights"
        figures[f"{what} ({_mean_bytes(stored)} bytes), the frame alone"] = cost(frame, stored)
        for case in (each for each in CASES if each.personal == personal):
            found[case] = cost(masked(case.rules), stored)
            figures[f"{what}, rules: {case.rules}"] = found[case]
    added = found[Case(len(RULES), personal=True)] - found[Case(0, personal=True)]
    return Result("masking", "CPU us that five rules which all apply add to an event", added, None, figures)


def _data(flight: dict[str, Any], number: int, *, personal: bool) -> bytes:
    if not personal:
        return orjson.dumps(flight)
    passenger = {
        "name": f"Anna {number}",
        "Phone": 13_800_000_000 + number,
        "ID-Card": f"11010119900307{number:04}",
        "email": f"anna{number}@example.com",
        "address": orjson.dumps({"street": f"{number} Main St", "city": flight["destination"]}).decode(),
    }
    return orjson.dumps(flight | {"passenger": passenger})


def _mean_bytes(events: Sequence[Record]) -> int:
    return sum(len(record.data) for record in events) // len(events)


def main(arguments: Sequence[str]) -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="python -m loadtest.masking", description=__doc__)
    parser.add_argument("--events", type=int, default=5_000, metavar="N", help="of each measurement (default 5,000)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to this file, too")
    options = parser.parse_args(arguments)
    console = Console()
    with console.status("masking"):
        result = costs(options.events)
    machine = conditions(REPOSITORY, available_cores())
    report.show(console, machine, [result])
    if options.json:
        options.json.write_bytes(orjson.dumps(report.document(machine, [result]), option=orjson.OPT_INDENT_2) + b"\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
