"""The ports of the log: what the durable stream answers, and who is told what it stores.

An adapter for JetStream fills `Source` and drives a `Sink`. Sequences are the stream's own; times are milliseconds
since the epoch by the stream's clock. Every method has a deadline of its own and raises `SlipstreamError` with
UPSTREAM_UNAVAILABLE when it passes.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import NamedTuple, Protocol

from slipstream.protocol.control import Reason
from slipstream.protocol.event import Record
from slipstream.protocol.topic import Filters


class State(NamedTuple):
    """What the stream's leader says of it.

    `first_seq` is the oldest event retained and `last_seq` the newest stored; an empty stream has
    `first_seq == last_seq + 1`. `last_time_ms` is the stored time of `last_seq`, None when nothing was ever stored.
    """

    epoch: str
    first_seq: int
    last_seq: int
    last_time_ms: int | None


class Batch(NamedTuple):
    """Records in ascending order, and how many more the answering replica knows of.

    `pending` 0 is not a proof of the end: a replica may lag behind its leader.
    """

    records: list[Record]
    pending: int


class Source(Protocol):
    """Reads one tenant's stream."""

    async def state(self) -> State:
        """The leader's state, asked for after this call began."""
        ...

    async def read(self, pattern: str, after: int, limit: int) -> Batch:
        """Up to `limit` records after `after` whose topic matches the one filter `pattern`."""
        ...

    async def count(self, pattern: str, after: int) -> int:
        """How many retained events after `after` match `pattern`."""
        ...

    async def last_match(self, pattern: str) -> int:
        """The sequence of the newest event that matches `pattern`, by the leader; 0 when there is none."""
        ...

    async def first_since(self, time_ms: int) -> int | None:
        """The sequence of the first event stored at or after `time_ms`; None when there is none yet."""
        ...

    async def time_of(self, seq: int) -> int | None:
        """The stored time of exactly the event `seq`; None when it is not retained."""
        ...

    def snapshot(self, filters: Filters) -> AsyncGenerator[list[Record], None]:
        """The newest event of each matching topic, ascending by sequence, in lists of bounded length."""
        ...

    async def prepare(self, records: list[Record]) -> list[Record]:
        """Make records ready to be shown; answers as many of the first of them as there was time for, at least one."""
        ...


class Sink(Protocol):
    """Takes what a feed delivers, in order. Calls are synchronous and return at once."""

    def append(self, record: Record) -> None:
        """The next record of the stream."""
        ...

    def restart(self, state: State, base: int, base_time_ms: int | None, reason: Reason | None) -> None:
        """The feed goes on after `base` of the stream as `state` describes it.

        A `reason` says that what lay between is gone (and must be told); None that this is where the feed begins.
        """
        ...
