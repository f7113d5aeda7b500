"""A server with aiohttp-sse, as its examples have it: `python -m loadtest.peers.aiohttp_sse_server PORT FEED_PORT`.

On uvloop, as Slipstream is. Lines end with LF instead of the library's CR LF, because the readers look for that; it
saves the peer a few bytes.
"""

from __future__ import annotations

import asyncio
import sys

import uvloop
from aiohttp import web
from aiohttp_sse import sse_response

from loadtest.machine import raise_descriptor_limit
from loadtest.peers.queues import Queues
from slipstream.cli.dev.ports import HOST


async def serve(port: int, feed_port: int) -> None:
    """Serve until the process is ended."""
    queues = Queues()

    async def events(request: web.Request) -> web.StreamResponse:
        async with sse_response(request, sep="\n") as response:
            with queues.joined() as queue:
                while response.is_connected():
                    event = await queue.get()
                    await response.send(event.data, id=event.id)
        return response

    app = web.Application()
    app.router.add_get("/events", events)
    feed = await queues.listen(feed_port)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, HOST, port, backlog=4096).start()
    async with feed:
        await asyncio.Event().wait()


if __name__ == "__main__":
    raise_descriptor_limit()
    uvloop.run(serve(int(sys.argv[1]), int(sys.argv[2])))
