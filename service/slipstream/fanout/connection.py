"""One open stream, from its first byte on: a descriptor, a place in the log, and what could not be sent yet.

There are tens of thousands of these, so that there is nothing here that a connection at rest does not need: no task,
no queue, no buffer, no request.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, NamedTuple, Protocol

from slipstream.fanout.snapshot import Snapshot
from slipstream.log.splice import Fence

if TYPE_CHECKING:
    from slipstream.fanout.audience import Audience

PARKED = 1 << 65
"""The floor of a connection that no round may write to: larger than every sequence."""


class State(Enum):
    """What a connection does now."""

    LIVE = "live"  # in its audience: rounds write to it
    BEHIND = "behind"  # chases its cursor through ring and stream
    CLOSING = "closing"  # has had its last frame; waits for the peer's end
    CLOSED = "closed"


class Ending(Enum):
    """Why a stream ended: the word in the log line, the metric and the tests."""

    CLIENT = "client"
    SLOW = "slow_consumer"
    FLOOD = "input_flood"
    DEAD = "peer_dead"
    GONE = "tenant_gone"
    DRAIN = "drain"
    EXPIRED = "expired"
    REVOKED = "revoked"
    ADMIN = "ended_by_admin"
    UPSTREAM = "upstream_unavailable"
    SHUTDOWN = "shutdown"
    INTERNAL = "internal"


class Owner(Protocol):
    """What the reactor knows of the tail that a connection belongs to."""

    tenant: str

    def step(self, until: float) -> bool:
        """One slice of work, until `until` (monotonic seconds); True when there is nothing left to do."""

    def pump(self, connection: Connection) -> None:
        """The socket takes bytes: send on."""

    def tell_one(self, connection: Connection, block: bytes) -> None:
        """Send a control frame to this connection alone, wherever it stands."""

    def forget(self, connection: Connection) -> None:
        """The connection is closed: nothing of it stays."""


class Lifetime(NamedTuple):
    """When a stream is warned of its end, and when it ends (Unix seconds), each with its frame."""

    warn_at: float
    ends_at: float
    warning: bytes
    final: bytes


class Connection:
    """A handed-off socket.

    `floor`: while LIVE the cursor it joined its audience with, else PARKED; a round that begins at or after it is for
    this connection. `cursor`: everything up to it was sent (only kept while not LIVE). `unsent`: the rest of a write
    that the socket did not take. `deadline`: when the lack of progress ends it. `received`: bytes of input thrown
    away. `fence` and `snapshot` belong to the chase, `lifetime` and `due` (a Unix second) to `Lifetimes`.
    """

    __slots__ = (
        "audience",
        "cursor",
        "deadline",
        "due",
        "fd",
        "fence",
        "floor",
        "lifetime",
        "number",
        "received",
        "snapshot",
        "state",
        "unsent",
    )

    def __init__(self, fd: int, number: int, audience: Audience, cursor: int) -> None:
        self.fd = fd
        self.number = number
        self.audience = audience
        self.state = State.BEHIND
        self.floor = PARKED
        self.cursor = cursor
        self.unsent = b""
        self.deadline = 0.0
        self.received = 0
        self.fence: Fence | None = None
        self.snapshot: Snapshot | None = None
        self.lifetime: Lifetime | None = None
        self.due = 0

    @property
    def open(self) -> bool:
        """Whether it has not had its last frame yet."""
        return self.state in (State.LIVE, State.BEHIND)

    def reposition(self, cursor: int) -> None:
        """Go on after `cursor` of another log: what belonged to the chase in the old one is of no use."""
        self.cursor = cursor
        self.fence = None
        if self.snapshot is not None:
            self.snapshot.close()
            self.snapshot = None
