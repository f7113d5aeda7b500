"""Which peers are gone without a word: a phone that lost its network, a host without power.

Every stream is written to at least once a heartbeat, and a peer that lives acknowledges it. So one that owes an
acknowledgement and gave none for longer is dead. (A reader that lives and has closed its window owes none: its time is
the write deadline.) The kernel's own means do not tell it in time: TCP_USER_TIMEOUT begins with the first byte that was
not acknowledged, which is up to a heartbeat late, and takes the place of SO_KEEPALIVE's count of probes (tcp(7)).
"""

from __future__ import annotations

import math
import socket
import struct
from collections.abc import Callable
from typing import Final

from slipstream.fanout.connection import Connection

_DEAD: Final = 1.6
"""Heartbeats without an acknowledgement: one comes a round trip after each."""

_ROUND: Final = 1 / 3
"""Heartbeats within which all are looked at, so that a death is noticed within two."""

_LATE: Final = 0.3
"""Heartbeats, and at least a second, after which nobody has looked: this process stood still, and wrote nothing."""
_LATE_SECONDS: Final = 1.0

_INFO: Final = struct.Struct("24xI28xI")
"""Where `struct tcp_info` (linux/tcp.h) has tcpi_unacked, segments, and tcpi_last_ack_recv, ms."""


def owing(fd: int) -> float:
    """Seconds for which the peer of a TCP socket has owed an acknowledgement; 0 where it owes none.

    Raises OSError for what is no TCP socket.
    """
    ours = socket.socket(fileno=fd)
    try:
        unacked, last_ms = _INFO.unpack(ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO.size))
    finally:
        ours.detach()
    return float(last_ms) / 1_000 if unacked else 0.0


class Pulse:
    """Looks at all connections, some at a time. heartbeat: seconds.

    What a peer owes is counted from its last acknowledgement, however late it was written to. So after a standstill of
    this process, where whoever lives has had no time to answer yet, all are spared for as long as a round takes.
    """

    def __init__(self, heartbeat: float, connections: Callable[[], list[Connection]]) -> None:
        self._dead_after = heartbeat * _DEAD
        self._seconds = heartbeat * _ROUND
        self._connections = connections
        self._round: list[Connection] = []
        self._next = 0
        self._began = 0.0
        self._late = max(_LATE_SECONDS, heartbeat * _LATE)
        self._asked_at = math.inf
        self._spared_until = -math.inf

    def due(self, now: float) -> list[Connection]:
        """Those whose turn it is at `now` (monotonic seconds). To be asked several times a second."""
        if now - self._asked_at > self._late:
            self._spared_until = now + self._seconds
            self._round, self._next = [], 0
        self._asked_at = now
        if now < self._spared_until:
            return []
        if self._next >= len(self._round):
            self._round, self._next, self._began = self._connections(), 0, now
        share = (now - self._began) / self._seconds
        until = min(len(self._round), math.ceil(len(self._round) * share))
        due = self._round[self._next : until]
        self._next = until
        return due

    def lives(self, connection: Connection) -> bool:
        """Whether the peer is there, as far as can be known. A look costs 4 us (measured)."""
        return not connection.open or owing(connection.fd) <= self._dead_after
