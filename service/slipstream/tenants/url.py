"""URLs of documents that an edge asks for itself: https, or http on the machine that it runs on."""

import ipaddress
from typing import Annotated, Final
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

_LENGTH_MAX: Final = 2_048


def check_url(text: str) -> str:
    """`text`, when an edge may ask there. Raises ValueError, saying what would be right."""
    parts = urlsplit(text)
    if not parts.hostname or parts.scheme not in ("https", "http") or not text.isprintable():
        raise ValueError("give https://HOST/PATH")
    if parts.scheme == "http" and not _loopback(parts.hostname):
        raise ValueError("use https: whoever can read or change this on its way can make tokens, or take them")
    if parts.username is not None or parts.fragment:
        raise ValueError("leave out the user and the fragment: the URL is logged")
    # Reading the port is what makes urllib check that it is one.
    if parts.port == 0:
        raise ValueError("a port is 1 to 65535")
    return text


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


Url = Annotated[str, Field(max_length=_LENGTH_MAX), AfterValidator(check_url)]
