"""What this process has no room for, and whether it takes anything new at all: asked before anything is done."""

from __future__ import annotations

from slipstream.edge.services import Services
from slipstream.protocol.errors import Code, SlipstreamError


def check_can_store(services: Services) -> None:
    """Refuse what is new while this process has too little memory, or NATS stores nothing.

    Raises OVERLOADED or UPSTREAM_UNAVAILABLE.
    """
    if services.memory.shedding:
        raise SlipstreamError(
            Code.OVERLOADED, "this process has too little memory left: come back, to another one", retry_after=2.0
        )
    if services.upstream.open:
        raise SlipstreamError(
            Code.UPSTREAM_UNAVAILABLE, f"NATS is away ({services.upstream.reason}): try again", retry_after=2.0
        )


def check_can_read(services: Services) -> None:
    """Refuse a reader while this process drains, or where it has no room for one.

    Publishes are taken for as long as anybody listens: nothing of them stays here. Raises DRAINING, or as
    `check_can_store`.
    """
    if services.draining:
        raise SlipstreamError(Code.DRAINING, "this process is shutting down: connect again", retry_after=1.0)
    check_can_store(services)
    if len(services.hub.reactor) >= services.options.max_connections:
        raise SlipstreamError(
            Code.OVERLOADED,
            f"this process holds its {services.options.max_connections} streams already: come back, to another one",
            retry_after=2.0,
        )
