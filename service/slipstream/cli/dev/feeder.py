"""Real events, published for ever at an even pace, each until it is acknowledged."""

import asyncio
import random
import secrets
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

import orjson

from slipstream.demo import DemoEvent
from slipstream.log.store import Store
from slipstream.protocol.errors import SlipstreamError
from slipstream.protocol.message_id import message_id
from slipstream.resilience.backoff import Backoff

_RETRY_SECONDS: Final = (0.2, 2.0)


@dataclass(slots=True)
class Feed:
    """A tenant's stream of events.

    acked: events stored so far. waiting: why none is stored now, "" while they are. first: set by the first ack.
    """

    tenant: str
    acked: int = 0
    waiting: str = ""
    first: asyncio.Event = field(default_factory=asyncio.Event)


async def run_feed(
    feed: Feed,
    store: Store,
    events: Callable[[], Iterable[DemoEvent]],
    rate: float,
    changed: Callable[[Feed], None],
) -> None:
    """Publish `events()` over and over, `rate` a second, until cancelled. changed: called when `waiting` changes.

    An event that was not acknowledged is published again under the same id, so it is stored once, in its place.
    """
    loop = asyncio.get_running_loop()
    run = secrets.token_hex(8)
    due = loop.time()
    for number, event in enumerate(_for_ever(events)):
        await asyncio.sleep(due - loop.time())
        await _publish(feed, store, event, message_id(f"slipstream-dev:{run}", str(number)), changed)
        # Time that NATS was away is not made up for: a burst would only hide what happened.
        due = max(due + 1 / rate, loop.time())


async def _publish(feed: Feed, store: Store, event: DemoEvent, identity: str, changed: Callable[[Feed], None]) -> None:
    backoff = Backoff(*_RETRY_SECONDS)
    while True:
        try:
            await store.publish(
                feed.tenant,
                event["topic"],
                orjson.dumps(event["data"]),
                event=event["event"],
                key=event.get("id"),
                message_id=identity,
            )
        except SlipstreamError as error:
            if not feed.waiting:
                feed.waiting = error.message
                changed(feed)
            await asyncio.sleep(backoff.next(random.random()))  # noqa: S311 - jitter is no secret
            continue
        feed.acked += 1
        feed.first.set()
        if feed.waiting:
            feed.waiting = ""
            changed(feed)
        return


def _for_ever(events: Callable[[], Iterable[DemoEvent]]) -> Iterator[DemoEvent]:
    while True:
        yield from events()
