"""The port through which events enter the log."""

from __future__ import annotations

from typing import NamedTuple, Protocol


class Stored(NamedTuple):
    """Where an acknowledged event lies. There is no mark: the ack does not say when it was stored.

    `duplicate`: one with the same message id was there already, and this is its place.
    """

    epoch: str
    seq: int
    duplicate: bool


class Store(Protocol):
    """Stores events. Answers only after the log has acknowledged."""

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
        """Store one event whose parts are checked. UPSTREAM_UNAVAILABLE when it may or may not have been stored."""
        ...
