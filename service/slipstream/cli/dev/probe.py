"""One bounded GET on loopback, to ask a child whether it serves."""

from typing import Final

from slipstream.cli.dev.ports import HOST
from slipstream.client.connection import Connection, Endpoint, request
from slipstream.client.http import HttpError

_SECONDS: Final = 1.0
_BYTES: Final = 1024 * 1024


async def get(port: int, path: str) -> tuple[int, bytes] | None:
    """Status and body; None when nobody answers within a second."""
    endpoint = Endpoint.parse(f"http://{HOST}:{port}{path}", path, [])
    try:
        connection = await Connection.open(
            endpoint, request(endpoint, {"Connection": "close"}), context=None, seconds=_SECONDS
        )
        try:
            return connection.head.status, await connection.read_all(_BYTES, _SECONDS)
        finally:
            connection.close()
    except (OSError, TimeoutError, HttpError):
        return None


async def answers(port: int, path: str) -> bool:
    """Whether a GET is answered with 200."""
    found = await get(port, path)
    return found is not None and found[0] == 200  # noqa: PLR2004
