"""What stands before the edges: one origin for a page and for whichever edge is there now."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple, Self

import aiohttp
from aiohttp import web
from yarl import URL

from tests.servers import HOST

_OF_ONE_CONNECTION = ("connection", "keep-alive", "transfer-encoding", "host", "content-length")


class Passed(NamedTuple):
    """A request that an edge answered: its path, what came with it, and what it was told."""

    path: str
    sent: dict[str, str]
    status: int
    told: dict[str, str]


class Front:
    """Passes everything on to the edge at `port`, block by block; where there is none, it hangs up."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self.port = 0
        self.passed: list[Passed] = []
        self._session = session

    @classmethod
    @asynccontextmanager
    async def open(cls) -> AsyncIterator[Self]:
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=5)
        async with aiohttp.ClientSession(
            auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar(), timeout=timeout
        ) as session:
            yield cls(session)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        url = URL(f"http://{HOST}:{self.port}{request.raw_path}", encoded=True)
        sent = {name.lower(): value for name, value in request.headers.items()}
        response = web.StreamResponse()
        try:
            async with self._session.request(
                request.method, url, headers=_kept(sent), data=await request.read()
            ) as answer:
                told = {name.lower(): value for name, value in answer.headers.items()}
                self.passed.append(Passed(request.path, sent, answer.status, told))
                response = web.StreamResponse(status=answer.status, headers=_kept(told))
                await response.prepare(request)
                async for block in answer.content.iter_any():
                    await response.write(block)
        except (aiohttp.ClientError, ConnectionError):
            if request.transport is not None:
                request.transport.abort()
        return response


def _kept(headers: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name not in _OF_ONE_CONNECTION}
