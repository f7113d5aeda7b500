"""How an edge goes: every stream is sent away at its own moment, and none loses a frame."""

from __future__ import annotations

import asyncio
import logging
import random
from typing import Final

from slipstream.edge.server import Server
from slipstream.edge.services import Services
from slipstream.fanout.connection import Ending
from slipstream.protocol import control

_logger = logging.getLogger(__name__)

_FAREWELL_SECONDS: Final = 2.0


async def drain(services: Services, server: Server, window: float) -> None:
    """Turn readiness off and send every stream away at its own moment of `window` seconds."""
    services.draining = True
    streams = services.hub.reactor.connections()
    random.shuffle(streams)
    _logger.info("draining %d streams over %.0f s", len(streams), window)
    pause = window / max(1, len(streams))
    base_ms = services.options.retry_ms
    for connection in streams:
        retry_ms = int(base_ms * (0.5 + random.random()))  # noqa: S311 jitter is no secret
        services.hub.reactor.close(connection, Ending.DRAIN, control.drain(max(1_000, retry_ms)))
        await asyncio.sleep(min(pause, 0.05))
    await server.stop_listening()
    # Each peer has a second to close its half: whoever is cut off before may lose its last frame.
    if not await services.hub.reactor.emptied(_FAREWELL_SECONDS):
        _logger.warning("%d streams did not end in time", len(services.hub.reactor))
