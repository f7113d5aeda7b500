"""How one message of a stream is printed, and the summary at the end. Pure but for the colours' decision."""

import json
from enum import StrEnum
from typing import Final

from slipstream.client import Counters, Message

GAP: Final = "stream.gap"
_COLOURS: Final = 6


class Form(StrEnum):
    """text: for people. raw: the data alone. json: one object a line, `{id, event, data}`, data a string."""

    text = "text"
    raw = "raw"
    json = "json"


def line(message: Message, form: Form, clock: str, *, colour: bool) -> str | None:
    """The line of an event or a gap, without its end; None where this form leaves it out (a gap in raw).

    clock: the time of day it arrived.
    """
    gap = message.event == GAP
    match form:
        case Form.json:
            return json.dumps({"id": message.id, "event": message.event, "data": message.data}, ensure_ascii=False)
        case Form.raw:
            return None if gap else message.data
        case Form.text if gap:
            return gap_line(message.data, colour=colour)
        case Form.text:
            id_, event, data = map(_printable, (message.id, message.event, message.data))
            if not colour:
                return f"{clock}  {id_}  {event}  {data}"
            hue = 31 + sum(event.encode()) % _COLOURS
            return f"\x1b[2m{clock}  {id_}\x1b[0m  \x1b[1;{hue}m{event}\x1b[0m  {data}"


def gap_line(data: str, *, colour: bool) -> str:
    """A told loss as nobody can overlook it. data: of the `stream.gap` event."""
    try:
        found = json.loads(data)
        certain = "events ARE missing" if found["certain"] else "events MAY be missing"
        text = (
            f"GAP ({found['reason']}, {found['code']}): {certain} after {found['requested'] or 'this place'};"
            f" goes on after {found['from'] or 'it'}"
        )
    except (ValueError, KeyError, TypeError):
        text = f"GAP: events are missing: {_printable(data)}"
    return f"\x1b[1;37;41m {text} \x1b[0m" if colour else f"!!! {text}"


def summary(counters: Counters, seconds: float, last_id: str, *, ordered: bool) -> str:
    """What a run of so many seconds saw. ordered: whether the order held to the end."""
    reconnects = max(0, counters.connects - 1)
    rate = counters.events / seconds if seconds > 0 else 0.0
    parts = [
        f"{counters.events:,} events in {seconds:.1f} s ({rate:,.1f}/s), {'in order' if ordered else 'NOT in order'}",
        f"gaps told: {counters.gaps}",
        f"reconnects: {reconnects}",
        f"failed attempts: {counters.failures}",
    ]
    return "; ".join(parts) + (f"; last id: {last_id}" if last_id else "")


def _printable(data: str) -> str:
    """Data on one line, without control characters: an event must not move the reader's cursor (CWE-150)."""
    return "".join(one if one.isprintable() else json.dumps(one)[1:-1] for one in data)
