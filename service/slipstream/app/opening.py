"""How an edge begins to work with NATS: connections that are looked after, a bucket, then all that needs both."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Final

from slipstream.jetstream.api import Api
from slipstream.jetstream.bucket import Bucket
from slipstream.jetstream.link import Link
from slipstream.jetstream.prober import Prober
from slipstream.protocol.errors import SlipstreamError
from slipstream.resilience.backoff import Backoff
from slipstream.resilience.supervise import Supervisor

_logger = logging.getLogger(__name__)

_MAKE_AGAIN_SECONDS: Final = 60.0

Tasks = Mapping[str, Callable[[], Coroutine[Any, Any, None]]]
"""What runs for ever, by name."""


def start(supervisor: Supervisor, tasks: Tasks) -> None:
    """Start all of them."""
    for name, run in tasks.items():
        supervisor.start(name, run)


async def open_nats(link: Link, feed_link: Link, prober: Prober, supervisor: Supervisor, tasks: Tasks) -> None:
    """Connect to NATS, then start `tasks`, which need it and the tenants' bucket."""
    await link.open()
    await feed_link.open()
    start(supervisor, {"nats-api": link.run, "nats-feed": feed_link.run, "prober": prober.run})
    await _find_bucket(Bucket(Api(link)))
    start(supervisor, tasks)


async def _find_bucket(bucket: Bucket) -> None:
    """Wait until there is a tenants' bucket; where there is none, try to make it.

    An edge may lack the permission (`permissions.edge`), which NATS tells by silence, as it does while it elects: so it
    is tried rarely, looked for often, and each reason to wait is told once.
    """
    backoff = Backoff(0.2, 2.0)
    told: set[str] = set()
    make_at = 0.0
    while True:
        reason = "there is none yet: `slipstream tenant apply` makes it"
        try:
            if await bucket.exists():
                return
            if time.monotonic() >= make_at:
                make_at = time.monotonic() + _MAKE_AGAIN_SECONDS
                await bucket.ensure()
                continue
        except SlipstreamError as error:
            reason = str(error)
        if reason not in told:
            told.add(reason)
            _logger.info("waiting for the tenants' bucket: %s", reason)
        await asyncio.sleep(backoff.next(random.random()))  # noqa: S311 jitter is no secret
