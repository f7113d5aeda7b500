"""The kinds of value a setting can have, each checked so that its error says what would be right."""

import ipaddress
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr
from pydantic_settings import NoDecode

from slipstream.auth.issuers import read_issuers

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_NATS_SCHEMES: Final = ("nats", "tls", "ws", "wss")


@dataclass(frozen=True, slots=True)
class Unit:
    """The unit of a number, for the reference."""

    name: str


def _nats_urls(text: str) -> str:
    urls = [url.strip() for url in text.split(",")]
    for url in urls:
        parts = urlsplit(url)
        if parts.scheme not in _NATS_SCHEMES or not parts.hostname:
            raise ValueError("give SCHEME://HOST:PORT for each server, SCHEME being nats, tls, ws or wss")
        # Reading the port is what makes urllib check that it is one.
        if parts.port == 0:
            raise ValueError("a server's port is 1 to 65535")
        if parts.username is not None:
            raise ValueError("put the user into SLIPSTREAM_NATS_USER and _PASSWORD: URLs are logged")
    return ",".join(urls)


def _readable(path: Path) -> Path:
    if not path.is_file():
        raise ValueError("there is no such file")
    if not os.access(path, os.R_OK):
        raise ValueError(f"user {os.geteuid()} may not read this file")
    return path


def _issuers(path: Path) -> Path:
    read_issuers(path)
    return path


def _directory(path: Path) -> Path:
    if not path.is_dir():
        raise ValueError("there is no such directory")
    if not os.access(path, os.R_OK | os.X_OK):
        raise ValueError(f"user {os.geteuid()} may not read this directory")
    return path


def _printable(secret: SecretStr | None) -> SecretStr | None:
    if secret is not None and not secret.get_secret_value().isprintable():
        raise ValueError("there is a line break or control character in it; a Secret made with echo ends in one")
    return secret


def _networks(value: object) -> object:
    if not isinstance(value, str):
        return value
    return tuple(ipaddress.ip_network(part.strip()) for part in value.split(",") if part.strip())


def _scopes(value: object) -> object:
    if not isinstance(value, str):
        return value
    return tuple(dict.fromkeys(value.replace(",", " ").split()))


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


Seconds = Annotated[float, Field(allow_inf_nan=False), Unit("s")]
Milliseconds = Annotated[int, Unit("ms")]
Octets = Annotated[int, Unit("bytes")]
Port = Annotated[int, Field(ge=0, le=65535)]
NatsUrls = Annotated[str, AfterValidator(_nats_urls)]
ReadableFile = Annotated[Path, AfterValidator(_readable)]
IssuersFile = Annotated[ReadableFile, AfterValidator(_issuers)]
Directory = Annotated[Path, AfterValidator(_directory)]
Password = Annotated[SecretStr | None, AfterValidator(_printable)]
Networks = Annotated[tuple[Network, ...], NoDecode, BeforeValidator(_networks)]
Scopes = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_scopes)]
Lower = BeforeValidator(_lower)
