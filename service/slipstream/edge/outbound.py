"""Where an edge asks others over HTTP: a session for URLs of documents and settings, with every bound there is.

No redirects, as nobody has agreed to where they lead; no proxies of the environment, no cookies, no compression.
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import socket
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

import aiohttp
from aiohttp.abc import AbstractResolver

from slipstream.edge.names import Names
from slipstream.quotas.turns import Moves, Turns

_CONNECTIONS: Final = 256
_EACH: Final = 32
"""Connections of one holder, whatever is free: what its own slow answers may take of this process."""
_KEEPALIVE: Final = 2.0
"""Seconds; servers close idle connections after 2 (gunicorn) to 75 (nginx)."""

_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
_UNICAST: Final = ipaddress.IPv6Network("2000::/3")
_TUNNELS: Final = (ipaddress.IPv6Network("2002::/16"), ipaddress.IPv6Network("2001::/32"))


class OutboundError(Exception):
    """There is no usable answer; the message says why, with nothing of what was sent or came."""


class GaveWay(OutboundError):
    """All connections were taken, and its holder had the most: the one that waited longest made room for another."""


class Answer(NamedTuple):
    """What came back, a redirect or an error as well."""

    status: int
    body: bytes


class _Question:
    """One that has a connection, or waits for one. scope: within which it is asked."""

    __slots__ = ("cut", "let_in", "scope")

    def __init__(self, scope: asyncio.Timeout) -> None:
        self.scope = scope
        self.let_in = asyncio.get_running_loop().create_future()
        self.cut = False


class Outbound:
    """Opens its session with the first question: most edges of a laptop never ask.

    allows: whether to connect to an address, as text; None for all. It is asked about the very address that the socket
    is made for, so that no name that resolves anew, and no literal, gets around it.

    Connections are shared as `Turns` says: answers that do not come keep other holders from none.
    """

    def __init__(self, allows: Callable[[str], bool] | None = None, resolver: AbstractResolver | None = None) -> None:
        self._allows = allows
        self._resolver = resolver
        self._turns: Turns[_Question] = Turns(_CONNECTIONS, _EACH)
        self._session: aiohttp.ClientSession | None = None

    async def ask(
        self, url: str, holder: str, *, seconds: float, most: int, headers: Mapping[str, str], body: bytes | None = None
    ) -> Answer:
        """The answer of `url`, to a POST where there is a body, else to a GET: within `seconds`, at most `most` bytes.

        holder: for whom, which is who shares connections with the others. The wait for one counts.
        A question may be asked twice, where a connection broke that had been open for longer.

        Raises OutboundError; GaveWay where the time was cut short for another holder.
        """
        question: _Question | None = None
        try:
            async with asyncio.timeout(seconds) as scope:
                question = _Question(scope)
                return await self._in_turn(question, holder, url, most, headers, body)
        except TimeoutError as error:
            if question is not None and question.cut:
                raise GaveWay("it was the slowest of too many, and made room for another") from error
            raise OutboundError(f"no answer within {seconds:g} s") from error
        except (aiohttp.ClientConnectorError, aiohttp.InvalidURL) as error:
            raise OutboundError(str(error)) from error
        except (aiohttp.ClientError, OSError) as error:
            # Not in its own words, and no cause: they can quote an answer, and that what was sent.
            raise OutboundError(f"the connection or its answer is broken ({type(error).__name__})") from None

    async def close(self) -> None:
        """Close what is open."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    @property
    def gave_way(self) -> int:
        """How many questions did so far."""
        return self._turns.cut

    async def _in_turn(
        self, question: _Question, holder: str, url: str, most: int, headers: Mapping[str, str], body: bytes | None
    ) -> Answer:
        self._move(self._turns.ask(holder, question))
        try:
            await question.let_in
            try:
                return await self._exchange(url, most, headers, body)
            except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError) as error:
                if isinstance(error, aiohttp.ClientConnectorError):
                    raise
                return await self._exchange(url, most, headers, body)
        finally:
            self._move(self._turns.leave(holder, question))

    def _move(self, moves: Moves[_Question]) -> None:
        now = asyncio.get_running_loop().time()
        for one in moves.cut:
            if not one.scope.expired():
                one.cut = True
                one.scope.reschedule(now)
        for one in moves.let_in:
            # One whose time is over at this moment leaves next, and passes its place on.
            if not one.let_in.done():
                one.let_in.set_result(None)

    async def _exchange(self, url: str, most: int, headers: Mapping[str, str], body: bytes | None) -> Answer:
        session = self._session = self._session or self._open()
        method = "GET" if body is None else "POST"
        async with session.request(method, url, headers=headers, data=body, allow_redirects=False) as answer:
            content = bytearray()
            async for block in answer.content.iter_any():
                content += block
                if len(content) > most:
                    raise OutboundError(f"the answer has more than {most} bytes")
            return Answer(answer.status, bytes(content))

    def _open(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            # The deadline is one for both tries, around them.
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
            headers={"Accept-Encoding": "identity", "User-Agent": "slipstream"},
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            connector=aiohttp.TCPConnector(
                limit=0,  # `Turns` bounds them, and tells who is next
                keepalive_timeout=_KEEPALIVE,
                resolver=self._resolver or Names(),
                socket_factory=None if self._allows is None else self._socket,
            ),
        )

    def _socket(self, info: tuple[Any, Any, int, str, tuple[Any, ...]]) -> socket.socket:
        """The socket for an address that may be connected to. Raises OSError for another."""
        family, kind, protocol, _, address = info
        if self._allows is not None and not self._allows(str(address[0])):
            raise OSError(errno.EACCES, "its address is in a private network: SLIPSTREAM_DENY_PRIVATE_NETWORKS")
        return socket.socket(family, kind, protocol)


def is_public(address: str) -> bool:
    """Whether this is an address of one host in the internet: not of this machine, a private network, or of many hosts.

    An IPv4 address that is wrapped into an IPv6 one counts as what it is (RFC 4291 section 2.5.5.2, RFC 6052).
    """
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is not None:
            found = found.ipv4_mapped
        elif found in _NAT64:
            found = ipaddress.IPv4Address(int(found) & 0xFFFF_FFFF)
        elif found not in _UNICAST or any(found in tunnel for tunnel in _TUNNELS):
            # All that is not assigned yet, multicast and old site-local among it, and IPv4 in the tunnels of old.
            return False
    return found.is_global and not found.is_multicast
