"""Many event-stream readers in one process: a raw epoll loop over one receive buffer.

Run as `python -m loadtest.readers PLAN`, PLAN a JSON object of `Plan`. It takes the command
`report`, a line on stdin, whose end means stop, and writes JSON lines to stdout: a report every second, on `report`,
and at the end.

Each connection is one socket and one entry in a few dictionaries. A read costs one call of `recv_into` and one of
`bytearray.count`; only inspected connections are parsed.
"""

from __future__ import annotations

import errno
import gc
import os
import select
import socket
import struct
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO, Final

import orjson

from loadtest.machine import raise_descriptor_limit
from loadtest.tally import ReaderReport, Received, write
from loadtest.wire import MARKER, MalformedBody, MarkerCounter, StreamInspector

_CONNECTING_MAX: Final = 256
_HEAD_MAX: Final = 16 * 1024
_DATA_SEGS_IN: Final = 152
"""Offset of tcpi_data_segs_in, a u32, in struct tcp_info (linux/tcp.h; there since 4.6)."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What one reader process does.

    target: path and query of every request; connections: how many; per_second: how fast they are opened;
    inspect: whether every connection is parsed, or only counted; open_seconds: from connect to the end of the head;
    pause_seconds: least time from one look at the sockets to the next. What came meanwhile costs one read instead of
    several, and a send does not pay for waking the reader, as it never does for a client on another machine.
    """

    host: str
    port: int
    target: str
    connections: int
    per_second: float = 2000.0
    inspect: bool = False
    open_seconds: float = 10.0
    pause_seconds: float = 0.0
    marker: str = MARKER.decode()

    @property
    def request(self) -> bytes:
        """The request every connection sends."""
        lines = (f"GET {self.target} HTTP/1.1", f"Host: {self.host}:{self.port}", "Accept: text/event-stream", "", "")
        return "\r\n".join(lines).encode()


@dataclass(slots=True)
class _Opening:
    socket: socket.socket
    deadline: float
    requested: bool = False
    head: bytes = b""


class Refused(Exception):
    """An answer that is not an event stream."""


def parse_head(head: bytes) -> bool:
    """Whether the body is chunked. Raises Refused unless this is the head of a 200 with an event stream."""
    status, *lines = head.decode("latin-1").split("\r\n")
    fields = {name.strip().lower(): value.strip().lower() for name, _, value in (line.partition(":") for line in lines)}
    if status.split(" ")[1:2] != ["200"]:
        raise Refused(f"answer {status[:80]}")
    kind = fields.get("content-type", "none")
    if not kind.startswith("text/event-stream"):
        raise Refused(f"content type {kind[:80]}")
    return fields.get("transfer-encoding") == "chunked"


def data_segments(connection: socket.socket) -> int:
    """TCP segments with data received so far on this connection (RFC 4898 tcpEStatsPerfDataSegsIn)."""
    info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _DATA_SEGS_IN + 4)
    return int(struct.unpack_from("=I", info, _DATA_SEGS_IN)[0])


class Readers:
    """The connections of one process and the loop that serves them."""

    def __init__(self, plan: Plan, commands: int, reports: BinaryIO) -> None:
        self._plan = plan
        self._commands = commands
        self._reports = reports
        self._epoll = select.epoll()
        self._epoll.register(commands, select.EPOLLIN)
        self._counter = MarkerCounter(plan.marker.encode())
        self._received = Received()
        self._started = 0
        self._opening: dict[int, _Opening] = {}
        self._sockets: dict[int, socket.socket] = {}
        self._receivers: dict[int, Callable[[memoryview], int]] = {}
        self._inspectors: dict[int, StreamInspector] = {}
        self._ended_segments = 0
        self._stopping = False

    def run(self) -> None:
        """Open the connections and read until told to stop; then close them all."""
        began = time.monotonic()
        report_at = began + 1
        while not self._stopping:
            now = time.monotonic()
            if now >= report_at:
                self._report()
                report_at = now + 1
            ramping = self._started < self._plan.connections
            if ramping or self._opening:
                self._give_up(now)
                self._open_until(round((now - began) * self._plan.per_second), now)
            self._serve(self._epoll.poll(0.005 if ramping else max(0.0, report_at - now), 4096))
            if (rest := now + self._plan.pause_seconds - time.monotonic()) > 0:
                time.sleep(rest)
        self._report()
        for connection in [*self._sockets.values(), *(opening.socket for opening in self._opening.values())]:
            connection.close()
        self._epoll.close()

    def _serve(self, ready: list[tuple[int, int]]) -> None:
        receivers, inspectors, counter, window = self._receivers, self._inspectors, self._counter, self._counter.window
        events = size = reads = 0
        for fd, _ in ready:
            receive = receivers.get(fd)
            if receive is None:
                self._other(fd)
                continue
            try:
                received = receive(window)
            except BlockingIOError:
                continue
            except OSError as error:
                self._end(fd, errno.errorcode.get(error.errno or 0, "unknown error"))
                continue
            if not received:
                self._end(fd, "end of stream")
                continue
            events += counter.count(fd, received)
            size += received
            reads += 1
            if fd in inspectors:
                self._inspect(fd, bytes(window[:received]))
        self._received.events += events
        self._received.bytes += size
        self._received.reads += reads

    def _inspect(self, fd: int, data: bytes) -> None:
        try:
            self._inspectors[fd].feed(data, time.monotonic_ns())
        except MalformedBody as error:
            self._end(fd, str(error))

    def _other(self, fd: int) -> None:
        """Readiness of a descriptor that does not stream (yet)."""
        if fd == self._commands:
            self._command()
        elif opening := self._opening.get(fd):
            try:
                self._advance(fd, opening)
            except BlockingIOError:
                return
            except Refused as error:
                self._fail(fd, str(error))
            except OSError as error:
                self._fail(fd, errno.errorcode.get(error.errno or 0, "unknown error"))

    def _open_until(self, due: int, now: float) -> None:
        """Start connections until `due` were started, but never have more than 256 on their way."""
        while self._started < min(due, self._plan.connections) and len(self._opening) < _CONNECTING_MAX:
            self._started += 1
            try:
                connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
            except OSError as error:
                self._received.failed[errno.errorcode.get(error.errno or 0, "unknown error")] += 1
                continue
            fd = connection.fileno()
            self._opening[fd] = _Opening(connection, now + self._plan.open_seconds)
            self._epoll.register(fd, select.EPOLLOUT)
            status = connection.connect_ex((self._plan.host, self._plan.port))
            if status not in (0, errno.EINPROGRESS):
                self._fail(fd, errno.errorcode.get(status, str(status)))

    def _advance(self, fd: int, opening: _Opening) -> None:
        """The next step of one connection: send the request once connected, then read the answer's head."""
        if not opening.requested:
            if status := opening.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                raise OSError(status, os.strerror(status))
            opening.socket.send(self._plan.request)  # Some 100 bytes into an empty send buffer: never in part.
            opening.requested = True
            self._epoll.modify(fd, select.EPOLLIN)
            return
        piece = opening.socket.recv(_HEAD_MAX)
        opening.head += piece
        head, found, body = opening.head.partition(b"\r\n\r\n")
        if found:
            self._stream(fd, opening, chunked=parse_head(head), body=body)
        elif not piece:
            raise Refused("closed before the end of the head")
        elif len(opening.head) > _HEAD_MAX:
            raise Refused(f"a head of more than {_HEAD_MAX} bytes")

    def _stream(self, fd: int, opening: _Opening, *, chunked: bool, body: bytes) -> None:
        """The head is in: from here on the connection is a reader. `body` came with the head."""
        del self._opening[fd]
        self._sockets[fd] = opening.socket
        self._receivers[fd] = opening.socket.recv_into
        if self._plan.inspect:
            self._inspectors[fd] = StreamInspector(self._received.inspected, chunked=chunked)
        if not body:
            return
        self._counter.window[: len(body)] = body
        self._received.events += self._counter.count(fd, len(body))
        self._received.bytes += len(body)
        if fd in self._inspectors:
            self._inspect(fd, body)

    def _give_up(self, now: float) -> None:
        """Fail what has been opening for too long; the dictionary is in the order of deadlines."""
        while self._opening:
            fd, opening = next(iter(self._opening.items()))
            if opening.deadline > now:
                return
            self._fail(fd, f"no head within {self._plan.open_seconds:g} s")

    def _fail(self, fd: int, reason: str) -> None:
        self._epoll.unregister(fd)
        self._opening.pop(fd).socket.close()
        self._received.failed[reason] += 1

    def _end(self, fd: int, reason: str) -> None:
        connection = self._sockets.pop(fd)
        if self._inspectors.pop(fd, None):
            self._ended_segments += data_segments(connection)
        self._epoll.unregister(fd)
        connection.close()
        del self._receivers[fd]
        self._counter.forget(fd)
        self._received.ended[reason] += 1

    def _command(self) -> None:
        if os.read(self._commands, 4096):  # There is one command.
            self._report(asked=True)
        else:
            self._stopping = True

    def _report(self, *, asked: bool = False) -> None:
        received = self._received
        received.cpu_seconds = time.process_time()
        received.inspected.segments = self._ended_segments + sum(
            data_segments(self._sockets[fd]) for fd in self._inspectors
        )
        opening = self._plan.connections - self._started + len(self._opening)
        write(ReaderReport(time.monotonic_ns(), asked, len(self._sockets), opening, received), self._reports)


def main(arguments: list[str]) -> int:
    """Entry point of the process."""
    plan = Plan(**orjson.loads(arguments[0]))
    raise_descriptor_limit()
    gc.freeze()  # Nothing of the loop makes cycles; the modules need not be scanned again and again.
    Readers(plan, sys.stdin.fileno(), sys.stdout.buffer).run()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
