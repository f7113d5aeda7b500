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

_CONNECTIONS: Final = 256
_KEEPALIVE: Final = 2.0
"""Seconds; servers close idle connections after 2 (gunicorn) to 75 (nginx)."""

_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
_UNICAST: Final = ipaddress.IPv6Network("2000::/3")
_TUNNELS: Final = (ipaddress.IPv6Network("2002::/16"), ipaddress.IPv6Network("2001::/32"))


class OutboundError(Exception):
    """There is no usable answer; the message says why, with nothing of what was sent or came."""


class Answer(NamedTuple):
    """What came back, a redirect or an error as well."""

    status: int
    body: bytes


class Outbound:
    """Opens its session with the first question: most edges of a laptop never ask.

    allows: whether to connect to an address, as text; None for all. It is asked about the very address that the socket
    is made for, so that no name that resolves anew, and no literal, gets around it.
    """

    def __init__(self, allows: Callable[[str], bool] | None = None, resolver: AbstractResolver | None = None) -> None:
        self._allows = allows
        self._resolver = resolver
        self._session: aiohttp.ClientSession | None = None

    async def ask(
        self, url: str, *, seconds: float, most: int, headers: Mapping[str, str], body: bytes | None = None
    ) -> Answer:
        """The answer of `url`, to a POST where there is a body, else to a GET: within `seconds`, at most `most` bytes.

        A question may be asked twice, where a connection broke that had been open for longer. Raises OutboundError.
        """
        try:
            async with asyncio.timeout(seconds):
                try:
                    return await self._exchange(url, most, headers, body)
                except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError) as error:
                    if isinstance(error, aiohttp.ClientConnectorError):
                        raise
                    return await self._exchange(url, most, headers, body)
        except TimeoutError as error:
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
                limit=_CONNECTIONS,
                keepalive_timeout=_KEEPALIVE,
                resolver=self._resolver,
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
