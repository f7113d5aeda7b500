"""The two listeners of an edge: the clients' and the admin's."""

from __future__ import annotations

import logging
from collections.abc import Callable

from aiohttp import http_parser, web
from aiohttp.http_exceptions import HttpProcessingError

from slipstream.edge.cors import ALL_ORIGINS, AllOrigins, guard
from slipstream.edge.health import live, ready, status
from slipstream.edge.listener import Listener
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

_FIELD_BYTES = 16 * 1024
_ADMIN_SOCKETS = 32
"""Of the reserve: whoever asks how a full process is must get an answer."""


class _Unreadable(logging.Filter):
    """Passes over bytes that are no HTTP: anybody can send them, and aiohttp logs a traceback for each."""

    def filter(self, record: logging.LogRecord) -> bool:
        """False for what the peer, not this process, did wrong."""
        return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


_http_logger = logging.getLogger("slipstream.edge.http")
_http_logger.addFilter(_Unreadable())


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
            self._admin(), options.admin_port, "SLIPSTREAM_ADMIN_PORT", most=_ADMIN_SOCKETS
        )
        self.port = await self._listen(
            self._public(), options.port, "SLIPSTREAM_PORT", most=options.max_sockets, elsewhere=lambda: len(reactor)
        )

    async def stop_listening(self) -> None:
        """Accept nobody any more on the clients' port; requests under way go on."""
        for site in list(self._runners[-1].sites):
            await site.stop()

    async def stop(self) -> None:
        """Stop both listeners and end what is under way."""
        for runner in reversed(self._runners):
            await runner.cleanup()
        self._runners.clear()

    def _refused(self) -> None:
        refusals = self._services.refusals
        refusals[Code.OVERLOADED.value] = refusals.get(Code.OVERLOADED.value, 0) + 1

    async def _listen(
        self, app: web.Application, port: int, variable: str, *, most: int, elsewhere: Callable[[], int] = lambda: 0
    ) -> int:
        options = self._services.options
        runner = web.AppRunner(
            app,
            handler_cancellation=True,
            access_log=None,
            logger=_http_logger,
            keepalive_timeout=options.head_deadline,
            max_line_size=_FIELD_BYTES,
            max_field_size=_FIELD_BYTES,
            auto_decompress=False,
            shutdown_timeout=2.0,
        )
        await runner.setup()
        self._runners.append(runner)
        try:
            await Listener(runner, options.host, port, most=most, elsewhere=elsewhere, refused=self._refused).start()
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
        app.router.add_get(STREAM_PATH, subscribe, allow_head=False)
        app.router.add_head(STREAM_PATH, describe)
        app.router.add_post(STREAM_PATH, publish)
        app.router.add_options(STREAM_PATH, preflight)
        app.router.add_get("/v1/poll", poll, allow_head=False)
        app.router.add_options("/v1/poll", preflight)
        app.router.add_post(TICKETS_PATH, issue_ticket)
        app.router.add_options(TICKETS_PATH, preflight)
        app.router.add_get("/v1/streams", list_streams, allow_head=False)
        app.router.add_options("/v1/streams", preflight)
        app.router.add_delete("/v1/streams/{id}", end_stream)
        app.router.add_options("/v1/streams/{id}", preflight)
        app.router.add_post("/v1/streams/{id}/token", renew_stream)
        app.router.add_options("/v1/streams/{id}/token", preflight)
        app.router.add_get("/v1/usage", show_usage, allow_head=False)
        app.router.add_options("/v1/usage", preflight)
        app.router.add_get(REVOCATIONS_PATH, list_revocations, allow_head=False)
        app.router.add_post(REVOCATIONS_PATH, revoke)
        app.router.add_options(REVOCATIONS_PATH, preflight)
        app.router.add_delete(REVOCATIONS_PATH + "/{kind}/{name}", take_back)
        app.router.add_options(REVOCATIONS_PATH + "/{kind}/{name}", preflight)
        return app

    def _admin(self) -> web.Application:
        app = web.Application()
        app[SERVICES] = self._services
        app.router.add_get("/livez", live)
        app.router.add_get("/readyz", ready)
        app.router.add_get("/statusz", status)
        return app
