"""An authorizer webhook for tests, on a real port, that can fail in every way a webhook does."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from tests.web import served


class AuthorizerServer:
    """Answers `status` and `body`, or does what `trouble` says.

    asked: the questions so far. tokens: the Authorization headers that came with them. gate: answers wait for it.
    slow: a path that is never answered.
    trouble: `silent`, `slow-body`, `huge`, `endless`, `redirect`, `hang-up`, `garbage` (which quotes what was sent).
    """

    def __init__(self) -> None:
        self.status = 200
        self.body: bytes = b'{"allow":true}'
        self.trouble = ""
        self.slow = ""
        self.asked: list[dict[str, Any]] = []
        self.tokens: list[str] = []
        self.paths: list[str] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.url = ""
        self.connections = 0

    @property
    def topics(self) -> list[Any]:
        """Of the questions."""
        return [question["topics"] for question in self.asked]

    @classmethod
    @asynccontextmanager
    async def serving(cls) -> AsyncIterator["AuthorizerServer"]:
        server = cls()
        app = web.Application(client_max_size=16 * 1_024 * 1_024)
        app.router.add_route("*", "/{path:.*}", server._answer)
        async with served(app) as origin:
            server.url = f"{origin}/allow"
            yield server

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.paths.append(request.path)
        self.tokens.append(request.headers.get("Authorization", ""))
        self.asked.append(await request.json() if request.can_read_body else {})
        await self.gate.wait()
        if request.path == self.slow:
            await asyncio.Event().wait()
        match self.trouble:
            case "silent":
                await asyncio.Event().wait()
            case "slow-body" | "endless":
                answer = web.StreamResponse()
                await answer.prepare(request)
                slow = self.trouble == "slow-body"
                # Until whoever asked has had enough.
                while request.transport is not None and not request.transport.is_closing():
                    await answer.write(b" " * (1 if slow else 4_096))
                    await asyncio.sleep(0.02 if slow else 0)
                return answer
            case "huge":
                return web.Response(body=json.dumps({"allow": True, "why": "x" * 70_000}).encode())
            case "redirect" if request.path == "/allow":
                return web.Response(status=307, headers={"Location": "/elsewhere"})
            case "hang-up":
                assert request.transport is not None
                request.transport.abort()
            case "garbage":
                assert request.transport is not None
                request.transport.write(f"HTTP/1.1 200 OK\r\n{self.tokens[-1]} \x00\r\n\r\n".encode())
                request.transport.close()
        return web.Response(status=self.status, body=self.body, content_type="application/json")
