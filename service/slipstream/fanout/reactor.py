"""The sockets of all open streams: one epoll for the whole process, inside the event loop.

The loop watches a single descriptor, whatever the number of streams; a stream at rest costs it nothing. Measured per
idle connection: `loop.add_reader` takes a handle and a selector key each, this takes a dictionary entry.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import select
import socket
import struct
import time
from collections import deque
from collections.abc import Callable
from contextvars import Context

from slipstream.fanout.connection import PARKED, Connection, Ending, Owner, State
from slipstream.protocol.frame import LAST_CHUNK

_logger = logging.getLogger(__name__)

_AT_REST = select.EPOLLIN | select.EPOLLRDHUP
_WRITING = _AT_REST | select.EPOLLOUT
_EVENTS = 64
_INPUT_LIMIT = 16 * 1024
_SLICE = 0.002
_LINGER = 1.0
_SWEEP = 0.5
_STOOD = 1.5
"""Seconds without a sweep after which this process stood still, and had no time for what readers did meanwhile."""

_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER: a close resets the connection, and the kernel gives back its buffers at once (socket(7))."""


class Reactor:
    """Owns every handed-off descriptor from adoption to `os.close`, and shares the loop fairly between tenants.

    `write_deadline`: seconds without progress after which a slow reader is closed. `on_closed(connection, ending)` is
    called once for each connection, when it has left its audience and its descriptor is closed.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        write_deadline: float,
        on_closed: Callable[[Connection, Ending], None],
    ) -> None:
        self._loop = loop
        self._write_deadline = write_deadline
        self._on_closed = on_closed
        self._epoll = select.epoll()
        self._connections: dict[int, Connection] = {}
        self._writing: dict[Connection, None] = {}
        self._closing: dict[Connection, float] = {}
        self._busy: deque[Owner] = deque()
        self._marked: set[Owner] = set()
        self._scheduled = False
        # A turn is of all tenants: it must not log in the name of the request that happened to ask for it.
        self._nobody = Context()
        self._empty = asyncio.Event()
        self._empty.set()
        self._swept_at = time.monotonic()
        self.endings: dict[Ending, int] = dict.fromkeys(Ending, 0)
        loop.add_reader(self._epoll.fileno(), self._ready)

    def __len__(self) -> int:
        return len(self._connections)

    def connections(self) -> list[Connection]:
        """All connections that are not closed yet."""
        return list(self._connections.values())

    # -- taking over and giving back -------------------------------------------------------------------------------

    def adopt(self, connection: Connection) -> None:
        """Watch a descriptor that is non-blocking and owned by nobody else."""
        self._epoll.register(connection.fd, _AT_REST)
        self._connections[connection.fd] = connection
        self._empty.clear()

    def close(self, connection: Connection, ending: Ending, final: bytes = b"") -> None:
        """End a stream in good order: `final` (whole SSE frames), the last chunk, then our half of the connection.

        The peer has a second to close its half; input until then is thrown away, because closing with unread input
        resets the connection and can cost the peer its last frame. A stream that stands inside a torn frame, or whose
        socket is full, is dropped instead.
        """
        if connection.state in (State.CLOSING, State.CLOSED):
            return
        audience = connection.audience
        payload = audience.frame(final) if final else b""
        if audience.view.chunked:
            payload += LAST_CHUNK
        torn = bool(connection.unsent)
        self._retire(connection, ending)
        if torn:
            self._release(connection)
            return
        try:
            if payload and os.write(connection.fd, payload) != len(payload):
                self._release(connection)
                return
            half = socket.socket(fileno=connection.fd)
            try:
                half.shutdown(socket.SHUT_WR)
            finally:
                half.detach()
        except OSError:
            self._release(connection)
            return
        connection.state = State.CLOSING
        self._closing[connection] = time.monotonic() + _LINGER

    def drop(self, connection: Connection, ending: Ending = Ending.CLIENT) -> None:
        """End a stream at once: the peer is gone, or does not deserve more."""
        if connection.state is State.CLOSED:
            return
        if connection.state is not State.CLOSING:
            self._retire(connection, ending)
            if ending in (Ending.SLOW, Ending.DEAD):
                # What it does not take would stay in the kernel until TCP gives it up, long after the stream is gone.
                self._reset(connection)
        self._release(connection)

    def _reset(self, connection: Connection) -> None:
        ours = socket.socket(fileno=connection.fd)
        try:
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        finally:
            ours.detach()

    def _retire(self, connection: Connection, ending: Ending) -> None:
        self.rest(connection)
        connection.audience.tail.forget(connection)
        connection.state = State.CLOSING
        connection.floor = PARKED
        connection.unsent = b""
        self.endings[ending] += 1
        self._on_closed(connection, ending)

    def _release(self, connection: Connection) -> None:
        self._closing.pop(connection, None)
        connection.state = State.CLOSED
        # Unwatch before closing: the number may be somebody else's a moment later.
        del self._connections[connection.fd]
        self._epoll.unregister(connection.fd)
        os.close(connection.fd)
        if not self._connections:
            self._empty.set()

    # -- writing -----------------------------------------------------------------------------------------------------

    def send(self, connection: Connection, payload: bytes | memoryview) -> int:
        """One write; how many bytes the socket took, or -1 when the peer is gone (and the connection dropped)."""
        try:
            return os.write(connection.fd, payload)
        except BlockingIOError:
            return 0
        except OSError:
            self.drop(connection)
            return -1

    def await_room(self, connection: Connection, *, progress: bool) -> None:
        """Call the tail's `pump` when the socket takes bytes again; the write deadline runs from the last progress."""
        waits = connection in self._writing
        if progress or not waits:
            connection.deadline = time.monotonic() + self._write_deadline
        if not waits:
            self._writing[connection] = None
            self._epoll.modify(connection.fd, _WRITING)

    def rest(self, connection: Connection) -> None:
        """The connection has nothing unsent: no deadline, no interest in writing."""
        if connection in self._writing:
            del self._writing[connection]
            self._epoll.modify(connection.fd, _AT_REST)

    # -- turns -------------------------------------------------------------------------------------------------------

    def mark(self, tail: Owner) -> None:
        """`tail` has something to send: give it slices of the loop until it has not."""
        if tail not in self._marked:
            self._marked.add(tail)
            self._busy.append(tail)
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._turn, context=self._nobody)

    def _turn(self) -> None:
        # One tenant after the other gets a slice, so that a large round of one does not make another wait.
        until = time.monotonic() + _SLICE
        busy = self._busy
        while busy:
            tail = busy.popleft()
            try:
                done = tail.step(until)
            except Exception:
                _logger.exception("a slice of tenant %s failed", tail.tenant)
                done = True
            if done:
                self._marked.discard(tail)
            else:
                busy.append(tail)
            if time.monotonic() >= until:
                break
        if busy:
            self._loop.call_soon(self._turn, context=self._nobody)
        else:
            self._scheduled = False

    def _ready(self) -> None:
        for fd, events in self._epoll.poll(0, _EVENTS):
            connection = self._connections.get(fd)
            if connection is None:
                continue
            try:
                self._handle(connection, events)
            except Exception:
                _logger.exception("stream %d failed and is closed", connection.number)
                self.drop(connection, Ending.INTERNAL)

    def _handle(self, connection: Connection, events: int) -> None:
        if events & select.EPOLLERR:
            self.drop(connection, self._failure(connection))
            return
        if events & _AT_REST:
            # Also when both halves are closed: to close with unread input resets, and drops what the peer has not read.
            self._discard(connection)
        elif events & select.EPOLLHUP:
            self.drop(connection)
            return
        if events & select.EPOLLOUT and connection in self._writing:
            connection.audience.tail.pump(connection)

    def _failure(self, connection: Connection) -> Ending:
        # Linux applies TCP_USER_TIMEOUT to a closed window, too (measured). Who is dead is found before (`Pulse`).
        ours = socket.socket(fileno=connection.fd)
        try:
            error = ours.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        finally:
            ours.detach()
        return Ending.SLOW if error == errno.ETIMEDOUT else Ending.CLIENT

    def _discard(self, connection: Connection) -> None:
        try:
            data = os.read(connection.fd, _INPUT_LIMIT)
        except BlockingIOError:
            return
        except OSError:
            self.drop(connection)
            return
        if not data:
            self.drop(connection)
            return
        connection.received += len(data)
        if connection.received > _INPUT_LIMIT and connection.state is not State.CLOSING:
            self.drop(connection, Ending.FLOOD)

    # -- time --------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Enforce the deadlines for ever."""
        while True:
            await asyncio.sleep(_SWEEP)
            self.sweep(time.monotonic())

    def sweep(self, now: float) -> None:
        """Close what made no progress until its deadline, and what was closed but lingers.

        Whoever waits for room keeps the time that it had left when this process stood still.
        """
        stood, self._swept_at = now - self._swept_at, now
        if stood > _STOOD:
            for connection in self._writing:
                connection.deadline += stood
        for connection in [one for one in self._writing if one.deadline < now]:
            self.drop(connection, Ending.SLOW)
        for connection in [one for one, until in self._closing.items() if until < now]:
            self.drop(connection)

    async def emptied(self, patience: float) -> bool:
        """Return when no connection is left, or after `patience` seconds; whether none is left."""
        try:
            async with asyncio.timeout(patience):
                await self._empty.wait()
        except TimeoutError:
            return False
        return True

    def shut(self) -> None:
        """Drop everything that is still open and give the epoll back."""
        for connection in self.connections():
            self.drop(connection, Ending.SHUTDOWN)
        self._loop.remove_reader(self._epoll.fileno())
        self._epoll.close()
