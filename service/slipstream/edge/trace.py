"""The trace of a request (W3C Trace Context): continued where the caller sent one, begun where not."""

from __future__ import annotations

import re
import secrets
from typing import NamedTuple

from aiohttp import web

_TRACEPARENT = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")
_ZERO_TRACE = "0" * 32
_ZERO_SPAN = "0" * 16


class Trace(NamedTuple):
    """Trace id and our own span id, lower-case hexadecimal; `flags` as they came."""

    trace_id: str
    span_id: str
    flags: str

    @property
    def header(self) -> str:
        """The `traceparent` of what we answer and send on."""
        return f"00-{self.trace_id}-{self.span_id}-{self.flags}"


def begin(traceparent: str | None) -> Trace:
    """Our span in the caller's trace, or in a new one when there is none or it is malformed."""
    match = _TRACEPARENT.fullmatch(traceparent or "")
    if match and match[1] != _ZERO_TRACE and match[2] != _ZERO_SPAN:
        return Trace(match[1], secrets.token_hex(8), match[3])
    return Trace(secrets.token_hex(16), secrets.token_hex(8), "00")


TRACE = web.RequestKey("trace", Trace)


def trace_of(request: web.BaseRequest) -> Trace:
    """The trace of `request`, begun at its first use."""
    trace = request.get(TRACE)
    if trace is None:
        trace = begin(request.headers.get("traceparent"))
        request[TRACE] = trace
    return trace
