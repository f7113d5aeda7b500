"""Loopback ports that nobody listens on."""

import secrets
import socket
from typing import Final

from slipstream.cli.dev.faults import DevError

HOST: Final = "127.0.0.1"

# Below Linux's ephemeral range: while a killed server is away, some connection could otherwise be given its port.
_RANGE: Final = range(20_000, 32_000)
_TRIES: Final = 200


def is_free(port: int) -> bool:
    """Whether a server could listen on this loopback port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def free_ports(count: int) -> list[int]:
    """So many different free ports, by chance. Raises DevError when they are not found."""
    found: dict[int, None] = {}
    for _ in range(_TRIES):
        port = _RANGE[secrets.randbelow(len(_RANGE))]
        if is_free(port):
            found[port] = None
        if len(found) == count:
            return list(found)
    raise DevError(f"no free ports between {_RANGE.start} and {_RANGE.stop}: stop some servers")


def choose(wanted: int | None, usual: int, option: str) -> int:
    """The wanted port (0: any free one), the usual one where nothing is wanted, or a free one when that is taken.

    option: how to want another. Raises DevError when the wanted port is taken.
    """
    if wanted:
        if not is_free(wanted):
            raise DevError(f"port {wanted} is taken: choose another with {option}, or leave it out")
        return wanted
    if wanted is None and is_free(usual):
        return usual
    return free_ports(1)[0]
