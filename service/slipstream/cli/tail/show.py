"""How one message of a stream is printed and saved, and the summary at the end. Pure."""

import json
from enum import StrEnum
from typing import Final, NamedTuple

from slipstream.cli.tail.advice import printable
from slipstream.client import Counters, Message

GAP: Final = "stream.gap"
_COLOURS: Final = 6


class Form(StrEnum):
    """text: for people. raw: the data alone. json: one object a line."""

    text = "text"
    raw = "raw"
    json = "json"


class Envelope(NamedTuple):
    """What a CloudEvent (envelope=cloudevents) tells beside its data, and its data as it was published."""

    topic: str | None
    time: str | None
    data: str

    @classmethod
    def open(cls, data: str) -> "Envelope":
        """What it says; the data as it is where it is no CloudEvent."""
        try:
            found = json.loads(data)
        except (ValueError, RecursionError):
            return cls(None, None, data)
        if not isinstance(found, dict) or "specversion" not in found:
            return cls(None, None, data)
        inner = found.get("data", "")
        text = inner if isinstance(inner, str) else json.dumps(inner, ensure_ascii=False, separators=(",", ":"))
        return cls(_text(found.get("subject")), _text(found.get("time")), text)


def line(message: Message, clock: str, topic: str | None = None, *, colour: bool) -> str:
    """An event for people, without the line's end. clock: the time of day; topic: where it is known."""
    id_, event, data = map(printable, (message.id, message.event, message.data))
    where = f"  {printable(topic)}" if topic else ""
    if not colour:
        return f"{clock}  {id_}{where}  {event}  {data}"
    hue = 31 + sum(event.encode()) % _COLOURS
    return f"\x1b[2m{clock}  {id_}\x1b[0m{where}  \x1b[1;{hue}m{event}\x1b[0m  {data}"


def document(message: Message, received: str, topic: str | None = None, time: str | None = None) -> str:
    """An event or a gap as a line of JSON: {id, topic, event, time, received, data}, data a string.

    received: when it came here, RFC 3339. topic, and time (when it was stored): left out where they are not known.
    """
    found = {
        "id": message.id,
        "topic": topic,
        "event": message.event,
        "time": time,
        "received": received,
        "data": message.data,
    }
    return json.dumps({key: value for key, value in found.items() if value is not None}, ensure_ascii=False)


def summary(counters: Counters, shown: int, seconds: float, last_id: str, *, ordered: bool) -> str:
    """What a run of so many seconds saw. shown: events that were not left out. ordered: whether it held to the end."""
    reconnects = max(0, counters.connects - 1)
    rate = counters.events / seconds if seconds > 0 else 0.0
    parts = [
        f"{counters.events:,} events in {seconds:.1f} s ({rate:,.1f}/s), {'in order' if ordered else 'NOT in order'}",
        *([f"shown: {shown:,}"] * (shown != counters.events)),
        f"gaps told: {counters.gaps}",
        f"reconnects: {reconnects}",
        f"failed attempts: {counters.failures}",
    ]
    return "; ".join(parts) + (f"; last id: {last_id}" if last_id else "")


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
