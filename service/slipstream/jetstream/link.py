"""One connection to NATS that is replaced when it no longer works.

nats-py reconnects by itself; this adds what it does not notice: a read loop that has ended, a server that is not
heard although pings are due, a reconnect that hangs on a dead peer (nats.py #671). `move` is for what no connection can
notice: a server that is well and has lost its cluster. Feed and requests use separate links, so that a large replay
never delays a heartbeat.
"""

from __future__ import annotations

import asyncio
import logging
import re
import ssl
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from nats import errors as nats_errors
from nats.aio.client import Srv

from slipstream.jetstream.client import Address, Client, guarded
from slipstream.jetstream.violation import Violation
from slipstream.protocol.errors import Code, SlipstreamError

_logger = logging.getLogger(__name__)

LOWEST_SERVER = (2, 14, 0)
"""The oldest nats-server that the contract tests ran on. Older ones ack what they do not do (TTL, schedules)."""

_PING_SECONDS = 2
_UNHEARD_SECONDS = 5.0
_RECONNECT_SECONDS = 10.0
_WATCH_SECONDS = 0.5
_CONNECT_SECONDS = 6.0
_REPEAT_SECONDS = 10.0
_LOGIN = re.compile(r"authorization|authentication (?!timeout)", re.IGNORECASE)
_RESET = re.compile(r"connection reset|eof", re.IGNORECASE)

WAITING: Final = " (waiting for it)"
"""How a warning about a server that is not there ends, where it is waited for."""


class Access(NamedTuple):
    """How to reach and to enter NATS. Files are paths; an empty tuple of servers is a caller's fault."""

    servers: tuple[str, ...]
    creds: str | None = None
    user: str | None = None
    password: str | None = None
    tls_ca: str | None = None
    tls_cert: str | None = None
    tls_key: str | None = None

    def tls(self) -> ssl.SSLContext | None:
        """The TLS context that the settings ask for, or None."""
        if not (self.tls_ca or self.tls_cert):
            return None
        context = ssl.create_default_context(cafile=self.tls_ca)
        if self.tls_cert:
            context.load_cert_chain(self.tls_cert, self.tls_key)
        return context

    def login(self) -> dict[str, str | None]:
        """User and password, or token, as options of nats-py: given, or those that all URLs have.

        Servers that a cluster tells of come without, and nats-py does not look at another's (2.16, read in its source).
        """
        if self.user:
            return {"user": self.user, "password": self.password}
        found = {(url.username, url.password) for url in map(urlsplit, self.servers)}
        user, password = found.pop()
        if self.creds or found or not user:
            return {}
        return {"token": user} if password is None else {"user": user, "password": password}


class Link:
    """A named connection; `client` is the one to use now and may be another one a moment later.

    Until `open` has succeeded there is none: asking for it raises UPSTREAM_UNAVAILABLE. (An edge listens before NATS
    has answered; nats-py meets a request on a client that never connected with an AssertionError.)
    """

    def __init__(self, access: Access, name: str) -> None:
        self._access = access
        self.name = name
        self._client: Client | None = None
        self.replaced = 0
        self.on_suspicion: Callable[[str], None] = lambda _: None
        self._restored: list[Callable[[], None]] = []
        self._lost: list[Callable[[], None]] = []
        self._refused: list[Callable[[Violation], None]] = []
        self._discovered: list[Srv] = []
        self._closing: set[asyncio.Task[None]] = set()
        self._down_since: float | None = None
        self._stale = 0
        self._said = (0.0, "")

    @property
    def client(self) -> Client:
        """The connection to use now."""
        if self._client is None:
            raise SlipstreamError(Code.UPSTREAM_UNAVAILABLE, "NATS has not answered yet: try again", retry_after=2.0)
        return self._client

    @property
    def up(self) -> bool:
        """True while the connection is established and its read loop runs."""
        return self._client is not None and self._client.is_connected and self._client.reading

    def on_lost(self, callback: Callable[[], None]) -> None:
        """Call `callback` whenever a connection breaks or is replaced: what was asked over it stays unanswered."""
        self._lost.append(callback)

    def on_violation(self, callback: Callable[[Violation], None]) -> None:
        """Call `callback` when the server refuses this user something: what was asked by it stays unanswered."""
        self._refused.append(callback)

    def on_restored(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call `callback` after every reconnect or replacement; the answer takes it back."""
        self._restored.append(callback)
        return lambda: self._restored.remove(callback)

    def suspect(self, what: str) -> None:
        """`what` had no answer: whoever looks after the upstream is told, and decides."""
        self.on_suspicion(what)

    async def open(self) -> None:
        """Connect, waiting for a server as long as it takes and saying why. SlipstreamError when it is too old."""
        began = time.monotonic()
        told: set[str] = set()
        barred = False
        while True:
            try:
                self._client = await self._connect()
            except (TimeoutError, OSError, nats_errors.Error) as error:
                reason = self._why(error)
                barred = barred or _LOGIN.search(reason) is not None
                # A refused login may show as a reset, before and after: who reads this needs every cause, each once,
                # and none that follows from another.
                if reason not in told and not (barred and _RESET.search(reason)):
                    told.add(reason)
                    _logger.warning("%s%s", self._fault_of(reason), WAITING)
                await asyncio.sleep(0.5)
            else:
                if told:
                    _logger.info("NATS answered after %.1f s", time.monotonic() - began)
                return

    async def run(self) -> None:
        """Watch the connection for ever, and replace it when it is dead without knowing."""
        while True:
            await asyncio.sleep(_WATCH_SECONDS)
            reason = self._fault(time.monotonic())
            if reason is not None:
                await self._replace(reason)

    async def move(self, better: Callable[[Client, Client], Awaitable[bool]]) -> bool:
        """Go over to another server of the cluster, if `better(fresh, old)` says so; else nothing changes.

        Whether there is another one is seen by trying: an address may stand for many servers.
        """
        old = self.client
        try:
            fresh = await self._connect(shunned=old.address)
        except (TimeoutError, OSError, nats_errors.Error, SlipstreamError) as error:
            _logger.info("NATS connection %s finds no other server: %s", self.name, self._why(error))
            return False
        moved = False
        try:
            if fresh.server_id != old.server_id and await better(fresh, old) and self._client is old:
                _logger.warning("moving the NATS connection %s to %s: it works there", self.name, fresh.server_name)
                self._adopt(fresh)
                moved = True
        finally:
            if not moved:
                self._abandon(fresh)
        return moved

    async def close(self) -> None:
        """Close the connection, within two seconds."""
        if self._client is not None:
            self._abandon(self._client)
        if self._closing:
            await asyncio.wait(self._closing, timeout=2.0)

    def _fault(self, now: float) -> str | None:
        client = self.client
        if client.is_closed:
            return "closed"
        if client.is_connected:
            self._down_since = None
            if not client.reading:
                return "its read loop has ended"
            # Two sights in a row: after a stall of our own loop the first one is old news.
            self._stale = self._stale + 1 if now - client.heard_at > _UNHEARD_SECONDS else 0
            if self._stale > 1:
                return f"nothing heard for {now - client.heard_at:.1f} s"
            return None
        self._down_since = self._down_since if self._down_since is not None else now
        if now - self._down_since > _RECONNECT_SECONDS:
            return f"reconnecting for {now - self._down_since:.0f} s"
        return None

    async def _replace(self, reason: str) -> None:
        _logger.warning("replacing the NATS connection %s: %s", self.name, reason)
        try:
            fresh = await self._connect(shunned=self.client.address)
        except (TimeoutError, OSError, nats_errors.Error) as error:
            _logger.warning("%s", self._fault_of(self._why(error)))
            return
        self._adopt(fresh)

    def _adopt(self, fresh: Client) -> None:
        old, self._client = self.client, fresh
        self._lose(old)
        self.replaced += 1
        self._stale = 0
        self._down_since = None
        self._abandon(old)
        self._tell()

    async def _connect(self, *, shunned: Address | None = None) -> Client:
        access = self._access
        if self._client is not None:
            self._discovered = self._client.discovered or self._discovered
        client = Client(self._discovered, shunned=shunned)
        client.on_violation = self._on_violation

        async def lost() -> None:
            if client is self._client:
                self._lose(client)

        options: dict[str, Any] = {
            "dont_randomize": True,
            "servers": list(access.servers),
            "name": self.name,
            "connect_timeout": 2,
            "reconnect_time_wait": 0.2,
            "max_reconnect_attempts": 1,
            "ping_interval": _PING_SECONDS,
            "max_outstanding_pings": 2,
            "pending_size": 64 * 1024 * 1024,
            "error_cb": guarded(self._on_error),
            "disconnected_cb": lost,
            "reconnected_cb": self._on_reconnected,
            "tls": access.tls(),
            "user_credentials": access.creds,
        }
        options |= access.login()
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                await client.connect(**options)
        except BaseException:
            self._abandon(client)
            raise
        # Once it has worked it reconnects for ever; before, whoever waits wants to know.
        client.options["max_reconnect_attempts"] = -1
        client.options["dont_randomize"] = False
        version = client.connected_server_version
        if (version.major, version.minor, version.patch) < LOWEST_SERVER:
            self._abandon(client)
            needed = ".".join(map(str, LOWEST_SERVER))
            raise SlipstreamError(
                Code.UPSTREAM_UNAVAILABLE,
                f"nats-server {version.major}.{version.minor}.{version.patch} is too old: slipstream needs {needed} or"
                " newer. Update the server, or point SLIPSTREAM_NATS_URL to a newer one.",
            )
        return client

    def _abandon(self, client: Client) -> None:
        # Its close may hang on a dead peer: nobody waits for it longer than this.
        async def close() -> None:
            try:
                async with asyncio.timeout(2.0):
                    await client.close()
            except Exception as error:  # noqa: BLE001 it is out of use already; nats-py asserts where it never was
                _logger.debug("an abandoned connection did not close cleanly: %r", error)
            finally:
                client.hang_up()

        task = asyncio.create_task(close(), name=f"close-{self.name}")
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    def _on_error(self, error: Exception) -> None:
        now, reason = time.monotonic(), _reason(error)
        if reason == self._said[1] and now - self._said[0] < _REPEAT_SECONDS:
            return
        self._said = (now, reason)
        _logger.info("NATS connection %s: %s", self.name, reason)

    def _on_violation(self, violation: Violation) -> None:
        for callback in list(self._refused):
            callback(violation)

    def _fault_of(self, reason: str) -> str:
        """Why there is no connection, and what to look at."""
        where = ", ".join(map(_shown, self._access.servers))
        if _LOGIN.search(reason):
            return (
                f"NATS refuses the login at {where} ({reason}): set SLIPSTREAM_NATS_USER and SLIPSTREAM_NATS_PASSWORD,"
                " or SLIPSTREAM_NATS_CREDS, to those of a user that it knows"
            )
        return f"NATS does not answer at {where} ({reason}). Is it running, and is SLIPSTREAM_NATS_URL right?"

    def _why(self, error: Exception) -> str:
        """What kept us out. nats-py ends with "no servers available" and tells the cause to its error callback only."""
        cause = self._said[1] if isinstance(error, nats_errors.NoServersError) else ""
        return cause or _reason(error)

    def _lose(self, client: Client) -> None:
        """Nobody waits for an answer that cannot come any more; nats-py would let them (measured: 3 s)."""
        client.forsake()
        for callback in list(self._lost):
            callback()

    async def _on_reconnected(self) -> None:
        _logger.info("NATS connection %s is back", self.name)
        self._tell()

    def _tell(self) -> None:
        for callback in list(self._restored):
            callback()


def _shown(url: str) -> str:
    """A server's URL for the log: without user and password."""
    scheme, separator, rest = url.rpartition("//")
    return scheme + separator + rest.rpartition("@")[2]


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__
