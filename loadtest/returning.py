"""Clients that come back all at once, each with an id of its own: `python -m loadtest.returning PLAN`.

PLAN is a file with a JSON object of `Plan`. Writes a report as a JSON line every second, when all are live, and at the
end, which is that of stdin. Each client is counted: how many events it is due after its id is known, so that a lost and
a repeated one show on every stream; order and holes are looked for on some of them, which are taken apart.
"""

from __future__ import annotations

import errno
import select
import socket
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final

import orjson

from loadtest.latency import Histogram
from loadtest.machine import raise_descriptor_limit
from loadtest.readers import Refused, parse_head
from loadtest.tally import Findings, write
from loadtest.wire import MalformedBody, MarkerCounter, StreamInspector

_HEAD_MAX: Final = 16 * 1024
_TURN_SECONDS: Final = 0.05


@dataclass(frozen=True, slots=True)
class Plan:
    """ids: the last event id of each client; due: how many events each had missed then; tokens: of each, if any.

    One in `inspect` is parsed.
    """

    host: str
    port: int
    target: str
    ids: list[str]
    due: list[int]
    tokens: list[str] | None = None
    inspect: int = 50


@dataclass(slots=True)
class Storm:
    """What has happened so far, of all clients. Times in ns since the storm began.

    streaming: clients whose stream has begun; caught_up: those that had all that they had missed; first, whole: when
    they had the first event, and all of those; last: when the latest of them had all; counts: events of each client.
    """

    streaming: int = 0
    caught_up: int = 0
    last: int = 0
    bytes: int = 0
    first: Histogram = field(default_factory=Histogram)
    whole: Histogram = field(default_factory=Histogram)
    failed: dict[str, int] = field(default_factory=dict)
    inspected: Findings = field(default_factory=Findings)
    counts: list[int] = field(default_factory=list)

    @property
    def over(self) -> bool:
        """Whether every client is live, or has failed."""
        return self.caught_up + sum(self.failed.values()) >= len(self.counts)

    def fail(self, reason: str) -> None:
        """A client has no stream, or none any more."""
        self.failed[reason] = self.failed.get(reason, 0) + 1


@dataclass(slots=True)
class _Client:
    number: int
    socket: socket.socket
    requested: bool = False
    head: bytes | None = b""
    inspector: StreamInspector | None = None


class Returning:
    """All clients, in one epoll loop, as `loadtest.readers` has it."""

    def __init__(self, plan: Plan, commands: int, reports: BinaryIO) -> None:
        self._plan = plan
        self._commands = commands
        self._reports = reports
        self._epoll = select.epoll()
        self._epoll.register(commands, select.EPOLLIN)
        self._clients: dict[int, _Client] = {}
        self._counter = MarkerCounter()
        self._began = 0
        self.storm = Storm(counts=[0] * len(plan.ids))

    def run(self) -> None:
        """Open all connections at once, and read until told to stop; then close them all."""
        self._began = time.monotonic_ns()
        for number in range(len(self._plan.ids)):
            self._connect(number)
        report_at, told = time.monotonic() + 1, False
        while self._turn():
            over = self.storm.over and not told
            if (now := time.monotonic()) >= report_at or over:
                write(self.storm, self._reports)
                report_at, told = now + 1, told or over
        write(self.storm, self._reports)
        for client in self._clients.values():
            client.socket.close()
        self._epoll.close()

    def _turn(self) -> bool:
        """Serve whoever is ready; False when told to stop."""
        for fd, _ in self._epoll.poll(_TURN_SECONDS, 4096):
            if fd == self._commands:
                return False
            if client := self._clients.get(fd):
                self._serve(fd, client)
        return True

    def _connect(self, number: int) -> None:
        connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        fd = connection.fileno()
        self._clients[fd] = _Client(number, connection)
        self._epoll.register(fd, select.EPOLLOUT)
        status = connection.connect_ex((self._plan.host, self._plan.port))
        if status not in (0, errno.EINPROGRESS):
            self._end(fd, errno.errorcode.get(status, str(status)))

    def _serve(self, fd: int, client: _Client) -> None:
        try:
            if not client.requested:
                client.socket.send(self._request(client.number))
                client.requested = True
                self._epoll.modify(fd, select.EPOLLIN)
            elif client.head is not None:
                self._head(fd, client)
            else:
                self._body(fd, client, client.socket.recv_into(self._counter.window))
        except BlockingIOError:
            return
        except (Refused, MalformedBody) as error:
            self._end(fd, str(error))
        except OSError as error:
            self._end(fd, errno.errorcode.get(error.errno or 0, "unknown error"))

    def _request(self, number: int) -> bytes:
        plan = self._plan
        token = f"Authorization: Bearer {plan.tokens[number]}\r\n" if plan.tokens else ""
        return (
            f"GET {plan.target} HTTP/1.1\r\nHost: {plan.host}:{plan.port}\r\nAccept: text/event-stream\r\n"
            f"{token}Last-Event-ID: {plan.ids[number]}\r\n\r\n"
        ).encode()

    def _head(self, fd: int, client: _Client) -> None:
        piece = client.socket.recv(_HEAD_MAX)
        head, found, body = ((client.head or b"") + piece).partition(b"\r\n\r\n")
        if not found:
            client.head = head
            if not piece or len(head) > _HEAD_MAX:
                raise Refused("no head, or an endless one")
            return
        chunked = parse_head(head)
        client.head = None
        self.storm.streaming += 1
        if client.number % self._plan.inspect == 0:
            client.inspector = StreamInspector(self.storm.inspected, chunked=chunked)
        if body:
            self._counter.window[: len(body)] = body
            self._body(fd, client, len(body))

    def _body(self, fd: int, client: _Client, received: int) -> None:
        if not received:
            raise Refused("end of stream")
        found = self._counter.count(fd, received)
        storm = self.storm
        storm.bytes += received
        if found:
            before = storm.counts[client.number]
            after = storm.counts[client.number] = before + found
            due = self._plan.due[client.number]
            if not before or before < due <= after:
                self._milestone(first=not before, whole=before < due <= after)
        if client.inspector is not None:
            client.inspector.feed(bytes(self._counter.window[:received]), time.monotonic_ns())

    def _milestone(self, *, first: bool, whole: bool) -> None:
        now = time.monotonic_ns() - self._began
        if first:
            self.storm.first.record(now)
        if whole:
            self.storm.whole.record(now)
            self.storm.caught_up += 1
            self.storm.last = now

    def _end(self, fd: int, reason: str) -> None:
        client = self._clients.pop(fd)
        self._epoll.unregister(fd)
        client.socket.close()
        self._counter.forget(fd)
        self.storm.fail(reason)


def read(line: bytes) -> Storm:
    """A report from its line."""
    given = orjson.loads(line)
    inspected = given.pop("inspected")
    inspected["latency"] = Histogram.parse(inspected["latency"])
    first, whole = Histogram.parse(given.pop("first")), Histogram.parse(given.pop("whole"))
    return Storm(**given, first=first, whole=whole, inspected=Findings(**inspected))


def main(arguments: list[str]) -> int:
    """Entry point of the process."""
    plan = Plan(**orjson.loads(Path(arguments[0]).read_bytes()))
    raise_descriptor_limit()
    Returning(plan, sys.stdin.fileno(), sys.stdout.buffer).run()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
