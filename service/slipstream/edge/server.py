"""The two listeners of an edge: the clients' and the admin's."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Final

from aiohttp import hdrs, http_parser, web

from slipstream.edge.answers import sign_off
from slipstream.edge.body import expect
from slipstream.edge.cors import ALL_ORIGINS, AllOrigins, guard
from slipstream.edge.health import live, ready, status
from slipstream.edge.listener import FIELD_BYTES, Listener
from slipstream.edge.poll import poll
from slipstream.edge.preflight import preflight
from slipstream.edge.problems import STREAM_PATH, answer_errors
from slipstream.edge.publish import publish
from slipstream.edge.renewal import renew_stream
from slipstream.edge.revocations import REVOCATIONS_PATH, list_revocations, revoke, take_back
from slipstream.edge.services import SERVICES, Services
from slipstream.edge.streams import end_stream, list_streams, show_usage
from slipstream.edge.subscribe import describe, subscribe
from slipstream.edge.tickets import TICKETS_PATH, issue_ticket
from slipstream.protocol.errors import Code, SlipstreamError

_PUBLIC_SECONDS = 1.0
"""For requests under way at the end: after this each is told to end, after twice this it is cut off (aiohttp)."""
_ADMIN_SECONDS = 0.25
_ADMIN_SOCKETS = 32
"""Of the reserve: whoever asks how a full process is must get an answer."""

_http_logger = logging.getLogger("slipstream.edge.http")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_ROUTES: Final[Mapping[str, Mapping[str, Handler]]] = MappingProxyType(
    {
        STREAM_PATH: {"GET": subscribe, "HEAD": describe, "POST": publish},
        "/v1/poll": {"GET": poll},
        TICKETS_PATH: {"POST": issue_ticket},
        "/v1/streams": {"GET": list_streams},
        "/v1/streams/{id}": {"DELETE": end_stream},
        "/v1/streams/{id}/token": {"POST": renew_stream},
        "/v1/usage": {"GET": show_usage},
        REVOCATIONS_PATH: {"GET": list_revocations, "POST": revoke},
        REVOCATIONS_PATH + "/{kind}/{name}": {"DELETE": take_back},
    }
)
"""All of the clients' port; OPTIONS is everywhere."""


class Server:
    """Starts and stops listening. Streams that were handed over are not its own: the hub ends them."""

    def __init__(self, services: Services) -> None:
        if http_parser.HttpRequestParser is http_parser.HttpRequestParserPy:
            raise SlipstreamError(
                Code.INTERNAL,
                "aiohttp runs with its Python parser, which is open to request smuggling: unset AIOHTTP_NO_EXTENSIONS"
                " and install a wheel with the C parser",
            )
        self._services = services
        self._runners: list[web.AppRunner] = []
        self.port = 0
        self.admin_port = 0

    async def start(self) -> None:
        """Listen on both ports. OSError, naming the port and the setting, when one is taken."""
        options = self._services.options
        reactor = self._services.hub.reactor
        self.admin_port = await self._listen(
            self._admin(), options.admin_port, "SLIPSTREAM_ADMIN_PORT", ending=_ADMIN_SECONDS, most=_ADMIN_SOCKETS
        )
        self.port = await self._listen(
            self._public(),
            options.port,
            "SLIPSTREAM_PORT",
            ending=_PUBLIC_SECONDS,
            most=options.max_sockets,
            elsewhere=lambda: len(reactor),
        )

    async def finish(self) -> None:
        """Accept nobody any more on the clients' port; what is under way there has two seconds to end."""
        await self._runners.pop().cleanup()

    async def stop(self) -> None:
        """Stop listening and end what is under way."""
        await asyncio.gather(*(runner.cleanup() for runner in self._runners))
        self._runners.clear()

    async def _listen(
        self,
        app: web.Application,
        port: int,
        variable: str,
        *,
        ending: float,
        most: int,
        elsewhere: Callable[[], int] = lambda: 0,
    ) -> int:
        options = self._services.options
        runner = web.AppRunner(
            app,
            handler_cancellation=True,
            access_log=None,
            logger=_http_logger,
            keepalive_timeout=options.head_deadline,
            max_line_size=FIELD_BYTES,
            max_field_size=FIELD_BYTES,
            auto_decompress=False,
            shutdown_timeout=ending,
        )
        await runner.setup()
        self._runners.append(runner)
        try:
            await Listener(
                runner, options.host, port, most=most, elsewhere=elsewhere, refused=self._services.refused
            ).start()
        except OSError as error:
            raise OSError(
                error.errno, f"cannot listen on {options.host}:{port} ({error.strerror}): choose another {variable}"
            ) from error
        address = runner.addresses[0]
        return int(address[1]) if isinstance(address, tuple) else 0

    def _public(self) -> web.Application:
        app = web.Application(
            middlewares=[answer_errors, guard],
            client_max_size=0,  # bodies are bounded where they are read
        )
        app[SERVICES] = self._services
        app[ALL_ORIGINS] = AllOrigins(self._services.registry)
        app.on_response_prepare.append(sign_off)
        for path, handlers in _ROUTES.items():
            for method, handler in {**handlers, "OPTIONS": preflight, hdrs.METH_ANY: _other_method}.items():
                app.router.add_route(method, path, handler, expect_handler=expect)
        # Not left to aiohttp, which asks for the body of such requests, too, and quotes what they expect.
        app.router.add_route(hdrs.METH_ANY, "/{path:.*}", _nowhere, expect_handler=expect)
        return app

    def _admin(self) -> web.Application:
        app = web.Application()
        app[SERVICES] = self._services
        app.on_response_prepare.append(sign_off)
        app.router.add_get("/livez", live)
        app.router.add_get("/readyz", ready)
        app.router.add_get("/statusz", status)
        return app


async def _other_method(request: web.Request) -> web.StreamResponse:
    taken = {route.method for route in request.match_info.route.resource or ()}
    raise web.HTTPMethodNotAllowed(request.method, taken - {hdrs.METH_ANY})


async def _nowhere(_: web.Request) -> web.StreamResponse:
    raise web.HTTPNotFound
