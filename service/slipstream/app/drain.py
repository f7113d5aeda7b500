"""How an edge goes: not ready any more, then every stream is sent away at its own moment, and none loses a frame.

A poll that waits has its moment, too: it is answered with what there is, as one whose time is up.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator
from typing import Final, NamedTuple

from slipstream.edge.server import Server
from slipstream.edge.services import Services
from slipstream.fanout.connection import Connection, Ending
from slipstream.fanout.page import Patience
from slipstream.protocol import control
from slipstream.resilience.departure import Departures
from slipstream.resilience.pacing import RETRY_MIN_MS, TOLERATED_RATE, spread

_logger = logging.getLogger(__name__)

_STEP: Final = 0.05
_AT_ONCE: Final = 100
"""Streams and polls that are sent away in one turn of the loop."""

_FAREWELL_SECONDS: Final = 2.0


class Pace(NamedTuple):
    """How long an edge goes on serving while ingresses take it off their lists, and then takes to send all away (s)."""

    delay: float
    window: float


async def drain(services: Services, server: Server, pace: Pace, hurry: asyncio.Event) -> None:
    """Leave. `hurry`, once set, ends every wait but the last."""
    services.leaving = True
    _logger.info("not ready any more; serving for another %.0f s", pace.delay)
    await _wait(hurry, pace.delay)
    services.draining = True
    streams = services.hub.reactor.connections()
    leaving: list[Connection | Patience] = [*streams, *services.polls]
    random.shuffle(leaving)
    departures = Departures(len(leaving), pace.window)
    polls = len(leaving) - len(streams)
    _logger.info("sending %d streams and %d polls away over %.1f s", len(streams), polls, departures.seconds)
    # They go to others: those see as many at once as leave here together.
    returns = spread(RETRY_MIN_MS, max(0, len(leaving) - int(TOLERATED_RATE * departures.seconds)))

    def send_away(connection: Connection) -> None:
        retry_ms = returns.draw(random.random())  # noqa: S311 jitter is no secret
        services.hub.reactor.close(connection, Ending.DRAIN, control.drain(retry_ms))

    until = time.monotonic() + pace.window
    torn = []
    async for one in _leaving(leaving, departures, hurry):
        if isinstance(one, Patience):
            one.end()
        elif one.unsent:
            torn.append(one)
        else:
            send_away(one)
    # Inside a frame: they have the whole window to read the rest, so that they hear where to go on.
    while torn and time.monotonic() < until and not hurry.is_set():
        for connection in (one for one in torn if not one.unsent):
            send_away(connection)
        torn = [one for one in torn if one.unsent]
        await _wait(hurry, _STEP)
    for connection in torn:
        send_away(connection)
    # Each peer has a second to close its half: whoever is cut off before may lose its last frame.
    emptied, _ = await asyncio.gather(services.hub.reactor.emptied(_FAREWELL_SECONDS), server.finish())
    if not emptied:
        _logger.warning("%d streams did not end in time", len(services.hub.reactor))


async def _leaving(
    leaving: list[Connection | Patience], departures: Departures, hurry: asyncio.Event
) -> AsyncIterator[Connection | Patience]:
    """Each stream and each poll when its moment has come."""
    began = time.monotonic()
    gone = 0
    while gone < len(leaving):
        due = len(leaving) if hurry.is_set() else departures.due(time.monotonic() - began)
        for one in leaving[gone : min(due, gone + _AT_ONCE)]:
            yield one
            gone += 1
        await (asyncio.sleep(0) if gone < due else _wait(hurry, _STEP))


async def _wait(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return
