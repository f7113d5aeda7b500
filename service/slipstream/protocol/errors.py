"""The one catalogue of errors, and the one exception that carries them.

The catalogue is closed: clients switch on its codes, so a new cause takes an existing code. 413, 415 and 428 are
BAD_REQUEST with a status of their own.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final, NamedTuple

_QUOTED_MAX: Final = 64


class Code(StrEnum):
    """What went wrong, as a client sees it: in `error` frames, `stream.gap` frames and problem documents."""

    BAD_REQUEST = "SSE_BAD_REQUEST"
    UNAUTHORIZED = "SSE_UNAUTHORIZED"
    FORBIDDEN = "SSE_FORBIDDEN"
    NOT_FOUND = "SSE_NOT_FOUND"
    TOKEN_EXPIRED = "SSE_TOKEN_EXPIRED"
    QUOTA_EXCEEDED = "SSE_QUOTA_EXCEEDED"
    OVERLOADED = "SSE_OVERLOADED"
    SLOW_CONSUMER = "SSE_SLOW_CONSUMER"
    TIMEOUT = "SSE_TIMEOUT"
    UPSTREAM_UNAVAILABLE = "SSE_UPSTREAM_UNAVAILABLE"
    DRAINING = "SSE_DRAINING"
    INTERNAL = "SSE_INTERNAL"
    HISTORY_EXPIRED = "SSE_HISTORY_EXPIRED"
    STREAM_RESET = "SSE_STREAM_RESET"
    CURSOR_AHEAD = "SSE_CURSOR_AHEAD"
    REPLAY_LIMITED = "SSE_REPLAY_LIMITED"
    UNDELIVERABLE = "SSE_UNDELIVERABLE"
    WITHHELD = "SSE_WITHHELD"


class Entry(NamedTuple):
    """What the catalogue says of one code.

    status: the HTTP status before a stream is open; 200 for the codes of gaps, which come on an open stream.
    title: the problem in a few words, the same for every occurrence (RFC 9457 section 3.1.4).
    passing: True when the same request can succeed later, so the client should come back. False for gaps: the
        stream goes on by itself.
    fix: what the reader of the error should do, one sentence.
    """

    status: int
    title: str
    passing: bool
    fix: str


CATALOGUE: Final[Mapping[Code, Entry]] = MappingProxyType(
    {
        Code.BAD_REQUEST: Entry(
            400, "Bad request", False, "Correct the request as the message says; do not repeat it."
        ),
        Code.UNAUTHORIZED: Entry(401, "No valid credential", False, "Send a valid token or ticket."),
        Code.FORBIDDEN: Entry(
            403, "Not permitted", False, "Ask for a token whose tenant, scope and topics cover this."
        ),
        Code.NOT_FOUND: Entry(404, "Not found", False, "Check the path and the tenant's name, and create the tenant."),
        Code.TOKEN_EXPIRED: Entry(
            401, "Token expired", False, "Get a new token and connect again with the last event id."
        ),
        Code.QUOTA_EXCEEDED: Entry(429, "Quota exceeded", True, "Wait for Retry-After, or have the quota raised."),
        Code.OVERLOADED: Entry(503, "Overloaded", True, "Wait for Retry-After and try again; add pods if it persists."),
        Code.SLOW_CONSUMER: Entry(
            503, "Reader too slow", True, "Read faster or ask for fewer topics, and resume with the last event id."
        ),
        Code.TIMEOUT: Entry(503, "Timed out", True, "Try again; a publish is safe to repeat with the same id."),
        Code.UPSTREAM_UNAVAILABLE: Entry(
            503,
            "Upstream unavailable",
            True,
            "Wait for Retry-After and try again; operators: check NATS, or what else the message names.",
        ),
        Code.DRAINING: Entry(503, "Shutting down", True, "Connect again: another pod goes on from the last event id."),
        Code.INTERNAL: Entry(500, "Internal error", True, "Try again, and report the trace id if it persists."),
        Code.HISTORY_EXPIRED: Entry(
            200, "History expired", False, "Load the current state anew; keep events longer or come back sooner."
        ),
        Code.STREAM_RESET: Entry(200, "Stream reset", False, "Load the current state anew: the log was replaced."),
        Code.CURSOR_AHEAD: Entry(
            200, "Position ahead of the log", False, "Load the current state anew: the log lost its newest events."
        ),
        Code.REPLAY_LIMITED: Entry(
            200, "Replay limited", False, "Load the current state anew, or have the replay quota raised."
        ),
        Code.UNDELIVERABLE: Entry(
            200, "Event undeliverable", False, "Correct the producer: one event does not fit an event stream."
        ),
        Code.WITHHELD: Entry(
            200, "Event withheld", False, "Correct the tenant's masking rules or hooks: one event failed them."
        ),
    }
)


class SlipstreamError(Exception):
    """A refusal or failure that a client is to be told.

    code: the catalogue's code.
    message: what is wrong here and what to do, one or two sentences, safe to show to the client.
    status: the HTTP status; the catalogue's unless given.
    fix: what to do, one sentence; the catalogue's unless given, for a cause that it does not fit.
    retry_after: seconds after which it makes sense to come back; None when there is no telling.
    """

    def __init__(
        self,
        code: Code,
        message: str,
        *,
        status: int | None = None,
        fix: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = CATALOGUE[code].status if status is None else status
        self.fix = CATALOGUE[code].fix if fix is None else fix
        self.retry_after = retry_after


def quoted(text: str) -> str:
    """Untrusted text for an error message: its repr, so no control character survives, in at most 64 characters."""
    shown = repr(text[:_QUOTED_MAX])
    if len(shown) <= _QUOTED_MAX:
        return shown
    return f"{shown[: _QUOTED_MAX - 4]}...{shown[-1]}"
