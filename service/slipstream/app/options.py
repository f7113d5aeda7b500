"""Each part's share of the settings."""

from __future__ import annotations

import resource
from typing import Final

from slipstream.edge.services import Options as EdgeOptions
from slipstream.fanout.hub import Options as HubOptions
from slipstream.log.ring import Limits
from slipstream.settings import Settings

_RESERVED_DESCRIPTORS: Final = 256
_RESERVED_FOR_OURSELVES: Final = 128
"""Of them: for NATS, the children of hooks, the admin's port, and connections that are being refused."""


def edge_options(settings: Settings) -> EdgeOptions:
    """The edge's part of the settings."""
    room = descriptor_room()
    return EdgeOptions(
        open=settings.auth == "none",
        anonymous_scopes=frozenset(settings.anonymous_scopes),
        host=settings.host,
        port=settings.port,
        admin_port=settings.admin_port,
        head_deadline=settings.head_deadline,
        body_deadline=settings.body_deadline,
        heartbeat=settings.heartbeat,
        write_deadline=settings.write_deadline,
        retry_ms=settings.retry_ms,
        sndbuf=settings.sndbuf,
        max_connections=min(settings.max_connections or room, room),
        max_sockets=room + _RESERVED_DESCRIPTORS - _RESERVED_FOR_OURSELVES,
        trusted_proxies=settings.trusted_proxies,
        event_bytes=settings.event_bytes,
        publish_events=settings.publish_events,
        publish_bytes=settings.publish_bytes,
        topics_per_stream=settings.topics_per_stream,
        replay_events=settings.replay_events,
    )


def hub_options(settings: Settings) -> HubOptions:
    """The hub's part of the settings."""
    return HubOptions(
        ring=Limits(settings.ring_events, settings.ring_bytes, int(settings.ring_seconds * 1000)),
        rings_bytes=settings.rings_bytes,
        heartbeat=settings.heartbeat,
        linger=settings.linger,
        write_deadline=settings.write_deadline,
        replay_inflight=settings.replay_inflight,
    )


def descriptor_room() -> int:
    """How many streams the descriptor limit allows, after raising the soft limit to the hard one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    # During a hand-over a stream has two descriptors for a moment, and who asks for something else has one, too.
    return max(16, hard - _RESERVED_DESCRIPTORS)
