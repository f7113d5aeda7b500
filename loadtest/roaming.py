"""Clients that come back by themselves, with their last id and to any pod: `python -m loadtest.roaming PLAN`.

PLAN is a file with a JSON object of `roamer.Plan`. Commands, one a line on stdin, whose end means stop: `report`;
`account`, a report with the events of each client; `churn RATE`, connections a second that are closed and come back (0
ends it). Each command but `churn` is answered with a report, a JSON line on stdout, and there is one every second.

Every client is counted: whole frames only, so that a cut one, which comes again, is not counted twice. With `inspect`
each is also taken apart, which tells order, duplicates, gaps and latency. As in `loadtest.readers`, a read costs one
`recv_into` and one `bytearray.count`; here also a look for the id, which stands near the end.
"""

from __future__ import annotations

import errno
import gc
import heapq
import os
import random
import select
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Final

import orjson

from loadtest.machine import raise_descriptor_limit
from loadtest.readers import Refused, data_segments, parse_head
from loadtest.roamed import END_OF_STREAM, Roamed, RoamReport
from loadtest.roamer import Client, Plan
from loadtest.tally import write
from loadtest.wire import FrameCounter, MalformedBody, Past, StreamInspector

_CONNECTING_MAX: Final = 256
_HEAD_MAX: Final = 16 * 1024
_TURN_SECONDS: Final = 0.02
_SLOW_BUFFER: Final = 32 * 1024


class Roaming:
    """All clients of one process, in one epoll loop."""

    def __init__(self, plan: Plan, commands: int, reports: BinaryIO) -> None:
        self._plan = plan
        self._commands = commands
        self._reports = reports
        self._epoll = select.epoll()
        self._epoll.register(commands, select.EPOLLIN)
        self._dice = random.Random(plan.numbers[0] if plan.numbers else 0)
        self._clients = [Client(at, number % len(plan.ports)) for at, number in enumerate(plan.numbers)]
        self._counts = [0] * len(plan.numbers)
        self._opening: dict[int, Client] = {}
        self._live: dict[int, Client] = {}
        self._receivers: dict[int, Callable[[memoryview], int]] = {}
        self._due: list[tuple[float, int]] = []
        self._counter = FrameCounter()
        self._churn = self._churned = 0.0
        self._segments = 0
        self._roamed = Roamed()
        self._stopping = False

    def run(self) -> None:
        """Open all connections, read, and come back, until told to stop; then close them all."""
        began = time.monotonic()
        self._due = [(began + at / self._plan.per_second, at) for at in range(len(self._clients))]
        report_at = slow_at = began + 1
        before = began
        while not self._stopping:
            now = time.monotonic()
            if now >= report_at:
                self._report(asked=False)
                report_at = now + 1
            if self._plan.bytes_per_second and now >= slow_at:
                self._sip(self._plan.bytes_per_second)
                slow_at = now + 1
            self._close_some(now - before)
            before = now
            self._give_up(now)
            self._open_due(now)
            self._serve(self._epoll.poll(self._idle(now, min(report_at, slow_at)), 4096))
            if (rest := now + self._plan.pause_seconds - time.monotonic()) > 0:
                time.sleep(rest)
        self._report(asked=False)
        for client in [*self._opening.values(), *self._live.values()]:
            if client.socket is not None:
                client.socket.close()
        self._epoll.close()

    def _idle(self, now: float, until: float) -> float:
        """How long the loop may sleep."""
        if self._churn or self._opening or (self._due and self._due[0][0] < now + _TURN_SECONDS):
            return _TURN_SECONDS / 4
        return min(max(0.0, until - now), _TURN_SECONDS * 5)

    def _serve(self, ready: list[tuple[int, int]]) -> None:
        receivers, live, counts, counter = self._receivers, self._live, self._counts, self._counter
        window, inspect = counter.window, self._plan.inspect
        events = size = reads = 0
        for fd, _ in ready:
            receive = receivers.get(fd)
            if receive is None:
                self._other(fd)
                continue
            client = live[fd]
            try:
                if not (received := receive(window)):
                    self._end(fd, client, END_OF_STREAM)
                    continue
                found = counter.count(client.at, received)
                if inspect and client.inspector is not None:
                    client.inspector.feed(bytes(window[:received]), time.monotonic_ns())
            except BlockingIOError:
                continue
            except MalformedBody as error:
                self._end(fd, client, str(error))
                continue
            except OSError as error:
                self._end(fd, client, _name(error.errno))
                continue
            counts[client.at] += found
            events += found
            size += received
            reads += 1
            if not found:  # Control frames come alone: the first ones and those of the drain have a new `retry`.
                client.note_retry(bytes(window[:received]))
        self._roamed.events += events
        self._roamed.bytes += size
        self._roamed.reads += reads

    def _other(self, fd: int) -> None:
        """Readiness of a descriptor that does not stream (yet)."""
        if fd == self._commands:
            self._command()
        elif client := self._opening.get(fd):
            try:
                self._advance(fd, client)
            except BlockingIOError:
                return
            except (Refused, MalformedBody) as error:
                self._fail(fd, client, str(error))
            except OSError as error:
                self._fail(fd, client, _name(error.errno))

    def _open_due(self, now: float) -> None:
        """Connect whoever is due, but never have more than 256 on their way."""
        while self._due and self._due[0][0] <= now and len(self._opening) < _CONNECTING_MAX:
            _, at = heapq.heappop(self._due)
            self._connect(self._clients[at], now)

    def _connect(self, client: Client, now: float) -> None:
        self._roamed.first_ns = self._roamed.first_ns or time.monotonic_ns()
        connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        if self._plan.bytes_per_second is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SLOW_BUFFER)
        fd = connection.fileno()
        client.socket, client.requested, client.head = connection, False, b""
        client.deadline = now + self._plan.open_seconds
        self._opening[fd] = client
        self._epoll.register(fd, select.EPOLLOUT)
        status = connection.connect_ex((self._plan.host, self._plan.ports[client.pod]))
        if status not in (0, errno.EINPROGRESS):
            self._fail(fd, client, _name(status))

    def _advance(self, fd: int, client: Client) -> None:
        """The next step of one connection: send the request once connected, then read the answer's head."""
        if (connection := client.socket) is None:
            return
        if not client.requested:
            if status := connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                raise OSError(status, os.strerror(status))
            connection.send(client.request(self._plan))  # Some 200 bytes into an empty send buffer: never in part.
            client.requested = True
            self._epoll.modify(fd, select.EPOLLIN)
            return
        piece = connection.recv(_HEAD_MAX)
        head, found, body = ((client.head or b"") + piece).partition(b"\r\n\r\n")
        if found:
            self._stream(fd, client, chunked=parse_head(head), body=body)
        elif not piece or len(head) > _HEAD_MAX:
            raise Refused("no head, or an endless one")
        else:
            client.head = head

    def _stream(self, fd: int, client: Client, *, chunked: bool, body: bytes) -> None:
        """The head is in: from here on the connection is a reader. `body` came with the head."""
        if (connection := client.socket) is None or not chunked:
            raise Refused("a body that is not chunked")
        del self._opening[fd]
        client.head = None
        self._live[fd] = client
        self._roamed.opened += 1
        self._roamed.opened_ns = time.monotonic_ns()
        if self._plan.inspect:
            past = Past(self._roamed.opened_ns, self._roamed.missed, client.seen)
            client.inspector = StreamInspector(self._roamed.inspected, chunked=True, past=past)
        if body:
            self._counter.window[: len(body)] = body
            self._take(client, len(body))
        if self._plan.bytes_per_second is None:
            self._receivers[fd] = connection.recv_into
        else:
            self._epoll.unregister(fd)

    def _take(self, client: Client, received: int) -> None:
        """So many bytes of the window are this client's next."""
        data = bytes(self._counter.window[:received])
        found = self._counter.count(client.at, received)
        self._counts[client.at] += found
        self._roamed.events += found
        self._roamed.bytes += received
        client.note_retry(data)
        if client.inspector is not None:
            client.inspector.feed(data, time.monotonic_ns())

    def _sip(self, most: int) -> None:
        """Read a little on every connection."""
        for fd, client in list(self._live.items()):
            if client.socket is None:
                continue
            try:
                if received := client.socket.recv_into(self._counter.window[:most]):
                    self._take(client, received)
                else:
                    self._end(fd, client, END_OF_STREAM)
            except BlockingIOError:
                continue
            except MalformedBody as error:
                self._end(fd, client, str(error))
            except OSError as error:
                self._end(fd, client, _name(error.errno))

    def _close_some(self, seconds: float) -> None:
        """Close the connections that the churn of the last seconds takes; they come back."""
        self._churned += self._churn * seconds
        while self._churned >= 1 and self._live:
            self._churned -= 1
            fd, client = self._dice.choice(list(self._live.items()))
            self._leave(fd, client, self._plan.away)
            self._roamed.churned += 1

    def _give_up(self, now: float) -> None:
        """Fail what has been opening for too long; the dictionary is in the order of deadlines."""
        while self._opening:
            fd, client = next(iter(self._opening.items()))
            if client.deadline > now:
                return
            self._fail(fd, client, f"no head within {self._plan.open_seconds:g} s")

    def _fail(self, fd: int, client: Client, reason: str) -> None:
        """No stream; it is tried again after the time that the pod asked for last."""
        self._epoll.unregister(fd)
        self._opening.pop(fd, None)
        self._live.pop(fd, None)
        self._receivers.pop(fd, None)
        self._come_back(client, client.retry_ms / 1e3)
        self._roamed.failed[reason] += 1

    def _end(self, fd: int, client: Client, reason: str) -> None:
        self._leave(fd, client, client.retry_ms / 1e3)
        self._roamed.ended[reason] += 1

    def _leave(self, fd: int, client: Client, away: float) -> None:
        if client.socket is not None and client.inspector is not None:
            self._segments += data_segments(client.socket)
        if self._receivers.pop(fd, None) is not None:
            self._epoll.unregister(fd)
        del self._live[fd]
        self._come_back(client, away)

    def _come_back(self, client: Client, seconds: float) -> None:
        """Close it and have it connect to another pod, if there is one, with the id of its last whole frame."""
        if client.socket is not None:
            client.socket.close()
        client.socket = client.inspector = None
        self._counter.forget(client.at)
        client.id = self._counter.ids.get(client.at, client.id)
        client.pod = client.another_pod(len(self._plan.ports), self._dice)
        heapq.heappush(self._due, (time.monotonic() + seconds, client.at))

    def _command(self) -> None:
        given = os.read(self._commands, 4096)
        if not given:
            self._stopping = True
        for line in given.decode().splitlines():
            match line.split():
                case ["report"]:
                    self._report(asked=True)
                case ["account"]:
                    self._report(asked=True, counts=self._counts)
                case ["churn", rate]:
                    self._churn, self._churned = float(rate), 0.0
                case words:
                    raise ValueError(f"{words} is no command: report, account, or churn RATE")

    def _report(self, *, asked: bool, counts: list[int] | None = None) -> None:
        self._roamed.cpu_seconds = time.process_time()
        inspected = self._live.values() if self._plan.inspect else ()
        sockets = (client.socket for client in inspected if client.socket is not None)
        self._roamed.inspected.segments = self._segments + sum(data_segments(each) for each in sockets)
        away = len(self._clients) - len(self._live)
        write(RoamReport(time.monotonic_ns(), asked, len(self._live), away, self._roamed, counts or []), self._reports)


def _name(number: int | None) -> str:
    return errno.errorcode.get(number or 0, "unknown error")


def main(arguments: list[str]) -> int:
    """Entry point of the process."""
    plan = Plan(**orjson.loads(Path(arguments[0]).read_bytes()))
    raise_descriptor_limit()
    gc.freeze()  # Nothing of the loop makes cycles; the modules need not be scanned again and again.
    Roaming(plan, sys.stdin.fileno(), sys.stdout.buffer).run()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
