"""An HTTP server in this process, on a free port of loopback, for what asks one."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from tests.servers import HOST


@asynccontextmanager
async def served(app: web.Application) -> AsyncIterator[str]:
    """The origin at which `app` answers, for the time of the block."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, HOST, 0).start()
        yield f"http://{HOST}:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
