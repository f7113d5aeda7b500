"""Events as a reader has them: their numbers, ids and gaps; and large ones made of real ones."""

import itertools
import json
from collections.abc import Iterator
from typing import Any

from slipstream.demo import earthquakes, flights
from tests.integration.cluster import Cluster, text_of
from tests.sse import Parsed


def large(count: int, size: int = 20_000) -> Iterator[tuple[str, bytes]]:
    """Events of about `size` bytes, each a list of real ones, all different; topic and data."""
    source = itertools.cycle(itertools.chain(earthquakes(), flights()))
    for _ in range(count):
        parts: list[str] = []
        event = next(source)
        while sum(map(len, parts)) < size:
            parts.append(text_of(event))
            event = next(source)
        yield event["topic"], f"[{','.join(parts)}]".encode()


def seq(event: Parsed) -> int:
    return int(event.id.split("-")[1])


def seqs(events: list[Parsed]) -> list[int]:
    return [seq(event) for event in events]


async def ids_of(cluster: Cluster, port: int, count: int) -> list[str]:
    """The ids of the tenant's first events."""
    stream = await cluster.opened(port, "since=earliest")
    found = [event.id for event in await stream.take(count)]
    stream.wire.close()
    return found


def gap_of(event: Parsed) -> dict[str, Any]:
    """The gap that an event tells; its id is where the stream goes on."""
    assert event.event == "stream.gap"
    document: dict[str, Any] = json.loads(event.data)
    assert document["from"] == event.id
    assert document.keys() == {"reason", "code", "requested", "from", "certain", "trace_id"}
    return document
