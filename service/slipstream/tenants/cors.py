"""Which pages of other origins may use a tenant, as its document says (`spec.cors`)."""

import ipaddress
import re
from typing import Annotated, Final

from pydantic import AfterValidator, BeforeValidator, Field

from slipstream.protocol.errors import quoted
from slipstream.tenants.part import Part
from slipstream.tenants.quantity import parse_duration

ORIGINS_MAX: Final = 64
"""Most origins of a tenant."""

MAX_AGE: Final = 600
"""Seconds for which a browser may remember the answer to a preflight, where the tenant does not say."""

_MAX_AGE_MOST: Final = 86_400  # Firefox remembers no longer, Chromium two hours

_HOST_MAX: Final = 253
_PORT_MAX: Final = 65_535
_DEFAULT_PORTS: Final = {"http": "80", "https": "443"}
_ORIGIN: Final = re.compile(r"(https?)://(\*\.)?([a-z0-9._-]+|\[[0-9a-f:.]+\])(?::([1-9][0-9]{0,4}))?")
_LABEL: Final = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")


def check_origin(text: str) -> str:
    """`text`, when it is an origin as a browser writes it (RFC 6454 section 6.2), or such a pattern.

    A pattern has `*.` before its host and stands for exactly one label: `https://*.example.com` covers
    `https://app.example.com`, neither `https://example.com` nor `https://a.b.example.com`. Raises ValueError.
    """
    if text in ("*", "null"):
        raise ValueError(f"{quoted(text)} would be any page there is: name the origins, like https://app.example.com")
    match = _ORIGIN.fullmatch(text)
    if match is None:
        raise ValueError(
            f"{quoted(text)} is no origin: write http or https, host and port if need be, like https://app.example.com"
            " or https://*.example.com: lower case, other scripts as xn--, no path, no slash at the end"
        )
    scheme, wildcard, host, port = match.groups()
    if not (_is_name(host) or (wildcard is None and _is_address(host))):
        raise ValueError(f"{quoted(host)} is no host name or address as a browser writes it")
    if wildcard and "." not in host and host != "localhost":
        raise ValueError(f"{quoted(text)} would be every site under {quoted(host)}: name two labels behind the *")
    if port is not None and (int(port) > _PORT_MAX or port == _DEFAULT_PORTS[scheme]):
        raise ValueError(f"port {port} never comes: there are 1 to 65535, and browsers leave out the scheme's own")
    return text


def _is_name(host: str) -> bool:
    labels = host.split(".")
    # What ends in a number is an IPv4 address to a browser (WHATWG URL, "ends in a number").
    return len(host) <= _HOST_MAX and all(map(_LABEL.fullmatch, labels)) and not _NUMBER.fullmatch(labels[-1])


def _is_address(host: str) -> bool:
    try:
        if host.startswith("["):
            return str(ipaddress.IPv6Address(host[1:-1])) == host[1:-1]
        return str(ipaddress.IPv4Address(host)) == host
    except ValueError:
        return False


class Cors(Part):
    """Cross-origin sharing (WHATWG Fetch section 3.3).

    origins: exact, or with one leftmost `*.` label; none of them shuts every other origin out. credentials: whether
    cookies may come along. max_age: seconds for which a browser may remember a preflight.
    """

    origins: Annotated[tuple[Annotated[str, AfterValidator(check_origin)], ...], Field(max_length=ORIGINS_MAX)]
    credentials: Annotated[bool, Field(strict=True)] = True
    max_age: Annotated[
        int,
        Field(strict=True, ge=0, le=_MAX_AGE_MOST),
        BeforeValidator(lambda value: parse_duration(value) if isinstance(value, str) else value),
    ] = MAX_AGE
