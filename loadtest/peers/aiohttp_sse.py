"""The library aiohttp-sse."""

from __future__ import annotations

from loadtest.peers.library import Library


class AiohttpSse(Library):
    """A queue for each client, emptied by `EventSourceResponse.send`."""

    name = "aiohttp-sse"
    modules = ("aiohttp_sse",)
    server = "loadtest.peers.aiohttp_sse_server"
