"""The library sse-starlette, on uvicorn."""

from __future__ import annotations

from loadtest.peers.library import Library


class SseStarlette(Library):
    """A queue for each client, emptied by the generator of an `EventSourceResponse`."""

    name = "sse-starlette"
    modules = ("sse_starlette", "uvicorn", "httptools", "uvloop")
    server = "loadtest.peers.sse_starlette_server"
