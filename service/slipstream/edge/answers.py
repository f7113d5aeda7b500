"""What answers on the clients' port have in common: their headers, and the two that most of them are."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import Any, Final

import orjson
from aiohttp import web

from slipstream.edge.authorize import URL_PARAMETER
from slipstream.edge.body import open_ended
from slipstream.edge.cookie import cookie_headers
from slipstream.edge.cors import cors_headers
from slipstream.edge.redeem import TICKET_PARAMETER
from slipstream.edge.retry import retry_headers
from slipstream.edge.services import SERVICES
from slipstream.edge.trace import trace_of

# A page that is shown under such a URL must not hand it on as the Referer.
_IN_URL: Final[Mapping[str, str]] = MappingProxyType({"Referrer-Policy": "no-referrer"})
_NONE: Final[Mapping[str, str]] = MappingProxyType({})


def common_headers(request: web.Request) -> dict[str, str]:
    """The headers of every answer on the clients' port."""
    return {
        "Vary": "Accept-Encoding, Origin",
        "traceparent": trace_of(request).header,
        "X-Content-Type-Options": "nosniff",
        **retry_headers(request),
        **cors_headers(request),
        **(_IN_URL if TICKET_PARAMETER in request.query or URL_PARAMETER in request.query else _NONE),
        **cookie_headers(request),
    }


def stream_headers(request: web.Request) -> dict[str, str]:
    """The headers of every event stream, refused or open."""
    return {
        "Content-Type": "text/event-stream; charset=utf-8",
        "Cache-Control": "no-store, no-transform",
        "X-Accel-Buffering": "no",
        **common_headers(request),
    }


def answered(request: web.Request, document: Mapping[str, Any]) -> web.Response:
    """A document as JSON, for the caller alone."""
    headers = {"Content-Type": "application/json", "Cache-Control": "no-store", **common_headers(request)}
    return web.Response(body=orjson.dumps(document), headers=headers)


def done(request: web.Request) -> web.Response:
    """204: it is done, and there is nothing to say."""
    return web.Response(status=HTTPStatus.NO_CONTENT, headers={"Cache-Control": "no-store", **common_headers(request)})


async def sign_off(request: web.BaseRequest, response: web.StreamResponse) -> None:
    """The last word on every answer, a signal of the application (`on_response_prepare`).

    It does not say what it was made with. While this process goes, the connection ends with the answer, so that what
    ingresses and producers keep open moves to other pods. So it does where a body may follow, or not: what comes next
    could be either.
    """
    response.headers.pop("Server", None)
    if isinstance(request, web.Request) and (request.app[SERVICES].leaving or open_ended(request)):
        response.force_close()
        response.headers["Connection"] = "close"
