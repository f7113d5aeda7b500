"""Every refusal as an answer: one table from errors to statuses, documents and, for an EventSource, streams.

A browser's EventSource gives up for good on any status but 200 (measured in both). So a refusal that will pass is told
as a short stream: `retry:`, the `error` event, a clean end. What must stop keeps its status.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import Final

import orjson
from aiohttp import web
from aiohttp.typedefs import Handler

from slipstream.edge.answers import common_headers, stream_headers
from slipstream.edge.authorize import INVALID_TOKEN
from slipstream.edge.handoff import HandedOff
from slipstream.edge.retry import READING, disagree, retry_after, retry_ms
from slipstream.edge.services import SERVICES
from slipstream.edge.trace import trace_of
from slipstream.protocol import control
from slipstream.protocol.errors import CATALOGUE, Code, SlipstreamError
from slipstream.protocol.frame import retry

_logger = logging.getLogger(__name__)

_PASSING: Final = frozenset({429, 503})
_STREAM_TYPE: Final = "text/event-stream"
STREAM_PATH: Final = "/v1/events"

_NONE: Final[Mapping[str, object]] = MappingProxyType({})

# What aiohttp itself refuses, by its status.
_CODES: Final[Mapping[int, Code]] = {
    404: Code.NOT_FOUND,
    405: Code.BAD_REQUEST,
    408: Code.TIMEOUT,
    503: Code.OVERLOADED,
}


@web.middleware
async def answer_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn every exception of a handler into an answer of the contract."""
    try:
        return await handler(request)
    except SlipstreamError as error:
        return refuse(request, error)
    except web.HTTPException as error:
        if error.status < HTTPStatus.BAD_REQUEST:
            raise
        ours = error.status >= HTTPStatus.INTERNAL_SERVER_ERROR
        code = _CODES.get(error.status, Code.INTERNAL if ours else Code.BAD_REQUEST)
        answer = refuse(request, SlipstreamError(code, _message(request, error), status=error.status))
        if "Allow" in error.headers:
            answer.headers["Allow"] = error.headers["Allow"]
        return answer
    except Exception as error:
        if isinstance(error, ConnectionError) and (request.transport is None or request.transport.is_closing()):
            # The client left, so there is nobody to answer; aiohttp would log a traceback for each.
            return HandedOff()
        trace = trace_of(request)
        _logger.exception("request %s %s failed (trace %s)", request.method, request.path, trace.trace_id)
        return refuse(
            request, SlipstreamError(Code.INTERNAL, "something failed here; the trace id names it in our log")
        )


def refuse(request: web.Request, error: SlipstreamError, members: Mapping[str, object] = _NONE) -> web.Response:
    """The answer to a request that `error` ends before a stream is open.

    members: what the problem document has besides (RFC 9457 section 3.2).
    """
    request.app[SERVICES].refused(error.code)
    if error.code is Code.FORBIDDEN:
        disagree(request)
    if error.status in _PASSING and _wants_stream(request):
        return _as_stream(request, error)
    return _as_problem(request, error, members)


def _as_stream(request: web.Request, error: SlipstreamError) -> web.Response:
    wait = retry_ms(request, error)
    block = retry(wait) + control.error(error.code, error.message, wait, trace_of(request).trace_id)
    answer = web.Response(status=200, body=block, headers=stream_headers(request))
    answer.force_close()
    return answer


def _as_problem(request: web.Request, error: SlipstreamError, members: Mapping[str, object]) -> web.Response:
    document = {**problem(error, trace_of(request).trace_id), **members}
    headers = {"Content-Type": "application/problem+json", "Cache-Control": "no-store", **common_headers(request)}
    if error.status in _PASSING:
        headers["Retry-After"] = str(retry_after(request, error))
    if error.status == HTTPStatus.UNAUTHORIZED:
        why = ', error="invalid_token"' if request.get(INVALID_TOKEN) else ""
        headers["WWW-Authenticate"] = f'Bearer realm="slipstream"{why}'
    answer = web.Response(status=error.status, body=orjson.dumps(document), headers=headers)
    if error.status == HTTPStatus.REQUEST_TIMEOUT:
        # Where the body ends is not known: nothing can follow on this connection (RFC 9110 section 15.5.9).
        answer.force_close()
    return answer


def problem(error: SlipstreamError, trace_id: str) -> dict[str, object]:
    """The problem document of an error (RFC 9457)."""
    return {
        "type": f"urn:slipstream:error:{error.code.value}",
        "title": CATALOGUE[error.code].title,
        "status": error.status,
        "code": error.code.value,
        "detail": error.message,
        "fix": error.fix,
        "trace_id": trace_id,
    }


def _wants_stream(request: web.Request) -> bool:
    if request.method not in READING or request.path != STREAM_PATH:
        # To a publisher 200 says that its event is stored.
        return False
    wish = request.query.get("refusal")
    if wish in ("stream", "status"):
        return wish == "stream"
    return request.headers.get("Accept", "").strip() == _STREAM_TYPE


def _message(request: web.Request, error: web.HTTPException) -> str:
    if error.status == HTTPStatus.NOT_FOUND:
        publishes = request.method == "POST" or request.path.rstrip("/").endswith("publish")
        more = f", and POST {STREAM_PATH} publishes" if publishes else ""
        return f"there is nothing at this path: streams are at {STREAM_PATH}{more}"
    if isinstance(error, web.HTTPMethodNotAllowed):
        taken = ", ".join(sorted(error.allowed_methods - {"OPTIONS"}))
        return f"{request.method} is not what this path is for: it takes {taken}"
    return error.reason or "the request was refused"
