"""An edge as a process: from its settings until SIGTERM or SIGINT."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
from typing import Final

import uvloop

from slipstream.app.drain import Pace, drain
from slipstream.app.edge import edge
from slipstream.settings import Settings
from slipstream.telemetry.logs import configure_logging

_logger = logging.getLogger(__name__)

_INTERRUPTED_SECONDS: Final = 2.0


def run_edge(settings: Settings) -> None:
    """Run an edge until SIGTERM or SIGINT. Raises OSError for a port that is taken, SlipstreamError for an old NATS."""
    configure_logging(settings.log_level, settings.log_format)
    if settings.loop == "uvloop":
        uvloop.run(serve(settings))
    else:
        asyncio.run(serve(settings))


async def serve(settings: Settings) -> None:
    """Run an edge on the current loop until SIGTERM or SIGINT, then drain it; a second signal makes it hurry."""
    loop = asyncio.get_running_loop()
    stop, hurry = asyncio.Event(), asyncio.Event()
    pace = Pace(settings.drain_delay, settings.drain)

    def heed(number: signal.Signals) -> None:
        nonlocal pace
        if stop.is_set():
            hurry.set()
        elif number is signal.SIGINT:
            # Somebody sits before it and waits; there is no list of endpoints to be taken off.
            pace = Pace(0.0, min(pace.window, _INTERRUPTED_SECONDS))
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, heed, number)
    async with edge(settings) as running:
        server = running.server
        if settings.auth == "none":
            _logger.warning("SLIPSTREAM_AUTH=none: EVERYBODY who reaches port %d may read and publish", server.port)
        elif settings.issuers is None:
            _logger.warning(
                "SLIPSTREAM_ISSUERS is not set: only tenants whose documents name issuers let anybody in; all other"
                " calls are 401"
            )
        _logger.info("listening on %s:%d, admin on %d", settings.host, server.port, server.admin_port)
        # What is here now stays: to look through it at each full collection stops all streams for 30 ms (measured).
        gc.collect()
        gc.freeze()
        stopped = asyncio.create_task(stop.wait(), name="signal")
        await asyncio.wait({stopped, running.opening}, return_when=asyncio.FIRST_COMPLETED)
        if running.opening.done():
            # Nothing works without NATS; what was raised says how to mend it.
            running.opening.result()
        await stopped
        await drain(running.services, server, pace, hurry)
