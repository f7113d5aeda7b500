"""Event payloads of one size made of real flights, with the time of publishing in front. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from loadtest.wire import TIMESTAMP

_FILLER: Final = '"note":"'


class Template(NamedTuple):
    """One event without its time: its topic, and the JSON text that follows the time."""

    topic: str
    rest: bytes

    def stamped(self, now_ns: int, size: int) -> bytes:
        """The payload: JSON of exactly `size` bytes. Raises ValueError when the event does not fit."""
        head = b"%b%d" % (TIMESTAMP, now_ns)
        filler = size - len(head) - len(self.rest) - len(b'"}')
        if filler < 0:
            raise ValueError(f"an event of {size - filler} bytes does not fit into {size}; use a larger size")
        return b'%b%b%b"}' % (head, self.rest, b"." * filler)


def templates(events: Iterable[Mapping[str, Any]]) -> list[Template]:
    """Templates of events `{"topic", "event", "data": {...}}`, in their order."""
    made = []
    for event in events:
        fields = json.dumps({"topic": event["topic"], "event": event["event"], **event["data"]}, separators=(",", ":"))
        made.append(Template(event["topic"], f",{fields[1:-1]},{_FILLER}".encode()))
    return made
