"""The port through which events enter the log."""

from __future__ import annotations

from collections.abc import Awaitable, Iterable
from typing import NamedTuple, Protocol

from slipstream.protocol.errors import SlipstreamError
from slipstream.protocol.publication import Publication


class Stored(NamedTuple):
    """Where an acknowledged event lies. There is no mark: the ack does not say when it was stored.

    `duplicate`: one with the same message id was there already, and this is its place.
    """

    epoch: str
    seq: int
    duplicate: bool


Outcome = Stored | SlipstreamError
"""What became of an event. UPSTREAM_UNAVAILABLE: it may or may not have been stored."""


class Store(Protocol):
    """Stores events whose parts are checked. Answers only after the log has acknowledged."""

    async def publish(
        self,
        tenant: str,
        topic: str,
        data: bytes,
        *,
        event: str = "",
        key: str | None = None,
        message_id: str | None = None,
        traceparent: str | None = None,
    ) -> Stored:
        """Store one event. Raises SlipstreamError; UPSTREAM_UNAVAILABLE when it may or may not have been stored."""
        ...

    async def send(self, tenant: str, publication: Publication, traceparent: str | None = None) -> Awaitable[Outcome]:
        """Send one event as soon as there is room; what is returned waits for its outcome.

        Events sent one after the other are stored in this order.
        """
        ...

    async def publish_many(
        self, tenant: str, publications: Iterable[Publication], traceparent: str | None = None
    ) -> list[Outcome]:
        """Store events in their order, many in flight at once, and answer each one's outcome.

        After one that nobody acknowledged the rest is not sent.
        """
        ...
