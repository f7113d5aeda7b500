"""The admin port: may we live, are we ready, how are we. Never on the clients' port."""

from __future__ import annotations

import asyncio
from collections import Counter

import orjson
from aiohttp import web

from slipstream import __version__
from slipstream.edge.services import SERVICES


async def live(request: web.Request) -> web.Response:
    """503 with the reasons when a restart would help: a task that fails again and again."""
    faults = request.app[SERVICES].faults()
    return _answer(503 if faults else 200, {"live": not faults, "faults": faults})


async def ready(request: web.Request) -> web.Response:
    """200 from the moment NATS answered, tenants and revocations were loaded, until the process is told to go."""
    services = request.app[SERVICES]
    return _answer(
        200 if services.ready else 503,
        {
            "ready": services.ready,
            "tenants_loaded": services.registry.loaded,
            "revocations_loaded": services.revocations.loaded,
            "leaving": services.leaving,
        },
    )


async def status(request: web.Request) -> web.Response:
    """What this process holds and how its upstream is."""
    services = request.app[SERVICES]
    reactor = services.hub.reactor
    return _answer(
        200,
        {
            "process": services.process,
            "version": __version__,
            "ready": services.ready,
            "connections": len(reactor),
            "polls": len(services.polls),
            "max_connections": services.options.max_connections,
            "max_sockets": services.options.max_sockets,
            "endings": {ending.value: count for ending, count in reactor.endings.items() if count},
            "refusals": services.refusals,
            "tasks": tasks(),
            "restarts": services.restarts(),
            "nats": services.links(),
            "loop_lag_ms": services.loop_lag.document(),
            "memory": services.memory.document(),
            "publish_inflight": services.bodies.document(),
            "quotas": services.admission.document(),
            "authorizers": services.authorizers.document(),
            "shaping": services.shaping(),
            "tenants": {
                tail.tenant: {
                    "readers": len(tail),
                    "epoch": tail.epoch,
                    "last_seq": tail.ring.last,
                    "ring_events": len(tail.ring),
                    "ring_bytes": tail.ring.size,
                    "resets": tail.resets,
                }
                for tail in services.hub.tails
            },
        },
    )


def tasks() -> dict[str, int]:
    """How many tasks of each kind run: a kind is a task's name up to what tells it from others of its kind."""
    kinds = Counter(task.get_name().partition("-")[0] for task in asyncio.all_tasks())
    return dict(sorted(kinds.items()))


def _answer(status: int, document: dict[str, object]) -> web.Response:
    return web.Response(
        status=status,
        body=orjson.dumps(document),
        headers={"Content-Type": "application/json", "Cache-Control": "no-store"},
    )
