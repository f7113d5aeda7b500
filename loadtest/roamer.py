"""One client that comes back by itself: what it asks for, what it remembers, and where it goes next. Pure."""

from __future__ import annotations

import random
import re
import socket
from dataclasses import dataclass, field
from typing import Final

from loadtest.wire import StreamInspector

_RETRY: Final = re.compile(rb"(?:^|\n)retry: (\d+)\n")
_USUAL_RETRY_MS: Final = 1_000


@dataclass(frozen=True, slots=True)
class Plan:
    """What one process of clients does.

    ports: of the pods; numbers, targets: of each client its number, which decides its first pod, and path and query;
    per_second: how fast they are opened at first; away: seconds until a client that was closed by `churn` comes back;
    bytes_per_second: None reads all there is, a number only so much on each connection, 0 nothing at all;
    open_seconds: from connect to the end of the head; pause_seconds: see `loadtest.readers`.
    """

    host: str
    ports: list[int]
    numbers: list[int]
    targets: list[str]
    per_second: float
    away: float = 1.0
    inspect: bool = False
    bytes_per_second: int | None = None
    open_seconds: float = 10.0
    pause_seconds: float = 0.0


@dataclass(slots=True)
class Client:
    """Where one client stands.

    at: its place in the plan; pod: where it connects next, or is; deadline: for the head; head: what came of it, None
    once it is whole; id: of its last whole frame; retry_ms: what the pod asked for last; seen: sequence numbers of the
    events that an inspected client has had.
    """

    at: int
    pod: int
    socket: socket.socket | None = None
    deadline: float = 0.0
    requested: bool = False
    head: bytes | None = b""
    id: bytes = b""
    retry_ms: int = _USUAL_RETRY_MS
    inspector: StreamInspector | None = None
    seen: set[int] = field(default_factory=set)

    def request(self, plan: Plan) -> bytes:
        """Its request, with the id it has."""
        last = b"Last-Event-ID: %b\r\n" % self.id if self.id else b""
        return (
            f"GET {plan.targets[self.at]} HTTP/1.1\r\nHost: {plan.host}:{plan.ports[self.pod]}\r\n"
            f"Accept: text/event-stream\r\n"
        ).encode() + b"%b\r\n" % last

    def note_retry(self, data: bytes) -> None:
        """Remember the time to wait before it comes back, where this part of the stream tells one."""
        if found := _RETRY.search(data):
            self.retry_ms = int(found[1])

    def another_pod(self, pods: int, dice: random.Random) -> int:
        """A pod that it was not on last, if there is one."""
        others = [pod for pod in range(pods) if pod != self.pod]
        return dice.choice(others) if others else self.pod
