"""A server with sse-starlette on uvicorn: `python -m loadtest.peers.sse_starlette_server PORT FEED_PORT`.

uvicorn has its fast parts (uvloop, httptools). Lines end with LF instead of the library's CR LF, because the readers
look for that; it saves the peer a few bytes.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from sse_starlette import EventSourceResponse
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Route

from loadtest.machine import raise_descriptor_limit
from loadtest.peers.queues import Queues
from slipstream.cli.dev.ports import HOST


def application(feed_port: int) -> Starlette:
    """The streams at `/events`, with events from `feed_port`."""
    queues = Queues()

    async def generate() -> AsyncIterator[dict[str, str]]:
        with queues.joined() as queue:
            while True:
                event = await queue.get()
                yield {"id": event.id, "data": event.data}

    async def events(request: Request) -> EventSourceResponse:
        del request
        return EventSourceResponse(generate(), sep="\n")

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        del app
        async with await queues.listen(feed_port):
            yield

    return Starlette(routes=[Route("/events", events)], lifespan=lifespan)


if __name__ == "__main__":
    raise_descriptor_limit()
    uvicorn.run(
        application(int(sys.argv[2])),
        host=HOST,
        port=int(sys.argv[1]),
        loop="uvloop",
        http="httptools",
        backlog=4096,
        access_log=False,
        log_level="warning",
        timeout_graceful_shutdown=1,
    )
