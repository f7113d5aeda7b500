"""Whose a connection is: the client's address behind the proxies that are trusted, and what is counted as one client.

Pure. `X-Forwarded-For` is a list that every proxy adds to on the right, so only its right end can be believed: it is
read from there, as far as the addresses are those of trusted proxies. What stands left of the first other one is
whatever the client wrote.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

FORWARDED: Final = "X-Forwarded-For"

_HOPS_MAX: Final = 16
"""Proxies in front of us that are looked at: a header of 16 KiB has room for thousands."""
_IPV6_CLIENT_BITS: Final = 64
"""The network that one site, or one telephone, has for itself (RFC 6177): its host may use any address of it."""
_WITH_PORT: Final = re.compile(r"\[([0-9A-Fa-f:.]+)\](?::\d{1,5})?|(\d{1,3}(?:\.\d{1,3}){3}):\d{1,5}")


def client_address(peer: str | None, forwarded: Sequence[str], trusted: Sequence[Network]) -> str:
    """The client's address in its usual form; "" where the peer has none (a Unix socket).

    peer: who opened the connection. forwarded: the X-Forwarded-For headers in their order. trusted: the networks of our
    own proxies. The walk goes from the peer to the left and ends at the first address that is no trusted proxy, or
    before an entry that is none.
    """
    found = _parse(peer or "")
    if found is None:
        return ""
    entries = ",".join(forwarded).rsplit(",", _HOPS_MAX)[-_HOPS_MAX:]
    while entries and _within(found, trusted):
        before = _parse(entries.pop())
        if before is None:
            break
        found = before
    return str(found)


def counted_as(address: str) -> str:
    """What is one client where connections are counted: an IPv4 address, or the /64 of an IPv6 address."""
    found = _parse(address)
    if not isinstance(found, IPv6Address):
        return address
    return str(IPv6Network((found, _IPV6_CLIENT_BITS), strict=False))


def _parse(text: str) -> Address | None:
    """An address as proxies write it, with or without a port; an IPv4 address in IPv6's clothes is one of IPv4."""
    text = text.strip()
    match = _WITH_PORT.fullmatch(text)
    if match is not None:
        text = match[1] or match[2]
    try:
        found = ip_address(text.partition("%")[0])  # a zone (RFC 4007) means something on its own host alone
    except ValueError:
        return None
    return (isinstance(found, IPv6Address) and found.ipv4_mapped) or found


def _within(address: Address, networks: Sequence[Network]) -> bool:
    return any(address in network for network in networks)
