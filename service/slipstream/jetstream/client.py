"""The NATS client with the faults mended that make it lose messages without a word.

Measured with nats-py 2.16 (each has a contract test):
- A PONG that comes after `flush(timeout)` gave up ends the read loop, while `is_connected` stays true.
- An error callback that raises ends the read loop in the same way.
- A subscription's queue drops when it is full, after the ordered consumer's cursor has moved past the message. A tap
  has no queue: the parser hands each message to a function that returns at once.
- Parsing headers costs more than the rest of a Direct Get taken together.
- A request, and a connect, waits by `asyncio.wait_for`, which in Python 3.11 forgets a cancellation that comes with the
  answer: the task that was to end goes on for ever.
"""

from __future__ import annotations

import asyncio
import logging
import random
import socket
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from dataclasses import replace
from typing import Any, TypeVar

from nats import errors
from nats.aio.client import Client as NatsClient
from nats.aio.client import Srv
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from slipstream.jetstream.asking import repeatable, until_led
from slipstream.jetstream.violation import Violation
from slipstream.quotas.rate import Rate

_logger = logging.getLogger(__name__)

_UNACKNOWLEDGED_MS = 6_000

V = TypeVar("V")

Address = tuple[str | None, int | None]
"""Host and port."""

Tap = Callable[[str, str, bytes, bytes], None]
"""Called with subject, reply, payload and the raw header block (empty when there is none)."""


def parse_headers(raw: bytes) -> dict[str, str]:
    """The header block of a NATS message (ADR-4) as a dictionary; the status line gives `Status`, `Description`.

    The first of a repeated header wins, as in NATS' own look-ups. Bytes that are not UTF-8 become U+FFFD.
    """
    head, _, rest = raw.partition(b"\r\n")
    found: dict[str, str] = {}
    status = head[8:].strip()
    if status:
        found["Status"] = status[:3].decode("ascii", "replace")
        found["Description"] = status[4:].decode("utf-8", "replace")
    for line in rest.split(b"\r\n"):
        name, colon, value = line.partition(b":")
        if colon:
            found.setdefault(name.decode("ascii", "replace"), value.strip().decode("utf-8", "replace"))
    return found


class Client(NatsClient):
    """`nats.aio.client.Client` with taps, a read loop that survives, and a note of when the server was last heard.

    discovered: servers of the cluster that another connection was told of. shunned: the server that is tried last.
    """

    def __init__(self, discovered: Iterable[Srv] = (), *, shunned: Address | None = None) -> None:
        super().__init__()
        self._taps: dict[int, Tap] = {}
        self._known = [replace(server, reconnects=0, last_attempt=None) for server in discovered]
        self._most_named = len(self._known)
        self._shunned = shunned
        self._asking: dict[asyncio.Timeout, str] = {}
        self._deaf: Violation | None = None
        self._repeats = Rate()
        self.on_violation: Callable[[Violation], None] = lambda _: None
        self.heard_at = time.monotonic()

    @property
    def reading(self) -> bool:
        """False when the read loop has ended although nobody closed the connection."""
        task = self._reading_task
        return task is not None and not task.done()

    async def tap(self, subject: str, tap: Tap) -> Subscription:
        """Subscribe to `subject` and call `tap` from the read loop for each message, before anything else runs."""
        subscription = await self.subscribe(subject)
        self._taps[subscription._id] = tap  # noqa: SLF001 the id is what the parser names a subscription by
        return subscription

    async def untap(self, subscription: Subscription) -> None:
        """End a tap; messages that still arrive for it are dropped."""
        self._taps.pop(subscription._id, None)  # noqa: SLF001
        if self.is_closed:
            return
        await subscription.unsubscribe()

    async def _process_msg(self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes | None) -> None:
        self.heard_at = time.monotonic()
        # A message without headers comes with None, whatever the parser's types say.
        raw = bytes(headers) if headers else b""
        tap = self._taps.get(sid)
        if tap is None:
            await super()._process_msg(sid, subject, reply, data, raw)
            return
        try:
            tap(subject.decode("utf-8", "replace"), reply.decode("utf-8", "replace"), bytes(data), raw)
        except Exception:
            _logger.exception("a tap on %r failed; the connection goes on", subject)

    async def request(
        self,
        subject: str,
        payload: bytes = b"",
        timeout: float = 0.5,  # noqa: ASYNC109 nats-py's signature
        old_style: bool = False,  # noqa: FBT001, FBT002 nats-py's signature
        headers: dict[str, str] | None = None,
    ) -> Msg:
        """See nats-py. Raises Forbidden as soon as the server says that this user may not ask, or not hear.

        What changes nothing is asked again while nobody leads, until the deadline (`asking.py`).
        """
        if not repeatable(subject):
            return await self._ask(subject, payload, timeout, old_style, headers)
        return await until_led(
            lambda seconds: self._ask(subject, payload, seconds, old_style, headers), timeout, self._repeats, subject
        )

    async def _ask(
        self,
        subject: str,
        payload: bytes,
        seconds: float,
        old_style: bool,  # noqa: FBT001 as it came
        headers: dict[str, str] | None,
    ) -> Msg:
        scope = asyncio.timeout(None)
        try:
            async with scope:
                self._asking[scope] = subject
                return await _heeding(super().request(subject, payload, seconds, old_style, headers))
        except TimeoutError as error:
            # The refusal to hear answers comes once in the life of a connection, with its first request.
            if refused := self._deaf or (Violation("publish", subject) if scope.expired() else None):
                raise refused.error(subject, self.inboxes) from error
            raise
        finally:
            self._asking.pop(scope, None)

    async def connect(self, *args: Any, **options: Any) -> None:
        """See nats-py."""
        await _heeding(super().connect(*args, **options))

    @property
    def under_way(self) -> int:
        """How many requests have no answer yet."""
        return len(self._asking)

    @property
    def inboxes(self) -> str:
        """What the subjects begin with on which answers come."""
        return self._inbox_prefix.decode()

    @property
    def without_jetstream(self) -> bool:
        """True where the server said that it has none and that it is in no cluster, so that nobody else has it."""
        return not (self._server_info.get("jetstream") or self._server_info.get("cluster"))

    @property
    def discovered(self) -> list[Srv]:
        """The servers that the cluster told of."""
        return [server for server in self._server_pool if server.discovered]

    @property
    def address(self) -> Address | None:
        """The server that this is connected to, or was last, as it was named to us."""
        return None if self._current_server is None else _address(self._current_server)

    @property
    def server_id(self) -> str:
        """The server's own name for itself: one server may have many addresses, and one address many servers."""
        return str(self._server_info.get("server_id", ""))

    @property
    def server_name(self) -> str:
        """The server's name for people."""
        return str(self._server_info.get("server_name", ""))

    def forsake(self) -> None:
        """Fail the requests that are under way: their answers would come over the connection that is gone."""
        for future in self._resp_map.values():
            if not future.done():
                future.set_exception(errors.ConnectionClosedError())

    def hang_up(self) -> None:
        """Close the socket, whatever `close` came to: it may still wait for a peer that says nothing."""
        if self._transport is not None:
            self._transport.close()  # type: ignore[no-untyped-call]

    def _setup_server_pool(self, connect_url: list[str]) -> None:
        super()._setup_server_pool(connect_url)
        named = {_address(server) for server in self._server_pool}
        self._server_pool += [server for server in self._known if _address(server) not in named]
        random.shuffle(self._server_pool)
        self._server_pool.sort(key=lambda server: _address(server) == self._shunned)

    async def _process_info(self, info: dict[str, Any], initial_connection: bool = False) -> None:  # noqa: FBT001, FBT002 nats-py's signature
        await super()._process_info(info, initial_connection)
        self._forget_servers(set(info.get("connect_urls") or ()))

    def _forget_servers(self, named: set[str]) -> None:
        """Let go of servers that the cluster names no more: nats-py tries each that it ever heard of.

        A server has another address each time it is started in a new pod. But one that lost its cluster names itself
        alone, and then the others are the way out: so there stay as many as were ever named at once.
        """
        self._most_named = max(self._most_named, len(named))
        gone = [
            server
            for server in self.discovered
            if server.uri.netloc not in named and server is not self._current_server
        ]
        for server in gone[: max(0, len(self.discovered) - self._most_named)]:
            self._server_pool.remove(server)

    async def _connect_to_server(self, s: Srv) -> None:
        # nats-py forgets the socket on which a server said nothing.
        self.hang_up()
        await super()._connect_to_server(s)

    async def _process_connect_init(self) -> None:
        self._bound_silence()
        self._deaf = None
        await super()._process_connect_init()
        # What was heard over the connection before this one says nothing of this one.
        self.heard_at = time.monotonic()

    def _bound_silence(self) -> None:
        """Have the kernel give up a peer that acknowledges nothing: else closing waits for it (nats.py #671).

        Measured with a full send buffer and packets that are dropped for 9 s: back 0.6 s after that, and not 4.3.
        """
        writer = getattr(self._transport, "_io_writer", None)
        peer = None if writer is None else writer.get_extra_info("socket")
        if peer is not None and hasattr(socket, "TCP_USER_TIMEOUT"):
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNACKNOWLEDGED_MS)

    async def _process_err(self, err_msg: str) -> None:
        violation = Violation.read(err_msg)
        if violation is not None:
            self._refuse(violation)
        await super()._process_err(err_msg)

    def _refuse(self, violation: Violation) -> None:
        if violation.verb != "publish" and violation.concerns("", self.inboxes):
            self._deaf = violation
        now = asyncio.get_running_loop().time()
        for scope, subject in self._asking.items():
            if violation.concerns(subject, self.inboxes) and not scope.expired():
                scope.reschedule(now)
        try:
            self.on_violation(violation)
        except Exception:
            _logger.exception("what was to be told of %r failed; the connection goes on", violation)

    async def _process_pong(self) -> None:
        self.heard_at = time.monotonic()
        if self._pongs and self._pongs[0].done():
            # Whoever waited has given up: setting its result would raise and end the read loop.
            self._pongs.pop(0)
            self._pongs_received += 1
            self._pings_outstanding = 0
            return
        await super()._process_pong()

    @staticmethod
    def _parse_header_lines(raw: bytes) -> dict[str, str]:
        found: dict[str, str] = {}
        for line in bytes(raw).split(b"\r\n"):
            name, colon, value = line.partition(b":")
            if colon:
                found[name.decode("ascii", "replace")] = value.strip().decode("utf-8", "replace")
        return found


def _address(server: Srv) -> Address:
    return server.uri.hostname, server.uri.port


def guarded(callback: Callable[[Exception], None]) -> Callable[[Exception], Awaitable[Any]]:
    """An error callback for nats-py that cannot raise into its read loop."""

    async def call(error: Exception) -> None:
        try:
            callback(error)
        except Exception:
            _logger.exception("the error callback failed on %r", error)

    return call


async def _heeding(work: Coroutine[Any, Any, V]) -> V:
    """Await `work` of nats-py; a cancellation that comes together with its end ends the task, as it must.

    `asyncio.wait_for` of Python 3.11, which nats-py waits with, returns the result and forgets the cancellation.
    """
    task = asyncio.current_task()
    before = 0 if task is None else task.cancelling()
    result = await work
    if task is not None and task.cancelling() > before:
        raise asyncio.CancelledError
    return result
