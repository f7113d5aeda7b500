"""Control events: what the stream says of itself. Each function returns one frame; its data is compact JSON.

Those that move a client's position have an id and always data, because Firefox forgets an id that comes without.
Times are Unix times: `expires_at` in seconds as a token's `exp` (RFC 7519 section 4.1.4), what ends in `_ms` in
milliseconds.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

import orjson

from slipstream.protocol.errors import Code
from slipstream.protocol.frame import encode, retry_line
from slipstream.protocol.position import Position


class Reason(StrEnum):
    """Why events are missing, and so where the stream goes on."""

    expired = "expired"
    """Retention took them; goes on at the first retained event."""
    reset = "reset"
    """The log is another one; goes on at the first event stored after the client's mark, else the first retained."""
    rewritten = "rewritten"
    """The log lost its tail and used the numbers again; goes on as after a reset."""
    ahead = "ahead"
    """The position is beyond the log's end; goes on as after a reset."""
    limited = "limited"
    """More than the replay quota; goes on at the oldest event inside it."""
    undeliverable = "undeliverable"
    """One event does not fit an event stream; goes on after it."""
    withheld = "withheld"
    """One event failed the tenant's masking or hooks; goes on after it."""


_CODES: Final[Mapping[Reason, Code]] = MappingProxyType(
    {
        Reason.expired: Code.HISTORY_EXPIRED,
        Reason.reset: Code.STREAM_RESET,
        Reason.rewritten: Code.STREAM_RESET,
        Reason.ahead: Code.CURSOR_AHEAD,
        Reason.limited: Code.REPLAY_LIMITED,
        Reason.undeliverable: Code.UNDELIVERABLE,
        Reason.withheld: Code.WITHHELD,
    }
)


def code_of(reason: Reason) -> Code:
    """The catalogue's code for a gap."""
    return _CODES[reason]


@dataclass(frozen=True, slots=True)
class Gap:
    """Events that a client will not get, and why.

    requested: the id the client came with, or where a live stream stood; None where one event alone is told.
    from_: the position after which the stream goes on; JSON key `from`.
    certain: True when matching events are missing, False when they may be.
    """

    reason: Reason
    requested: str | None
    from_: Position | None
    certain: bool
    trace_id: str | None = None

    def document(self) -> dict[str, object]:
        """The gap as JSON has it, in a frame and in a poll's answer."""
        return {
            "reason": self.reason.value,
            "code": code_of(self.reason).value,
            "requested": self.requested,
            "from": None if self.from_ is None else str(self.from_),
            "certain": self.certain,
            "trace_id": self.trace_id,
        }


def ready(
    position: Position | None,
    *,
    stream: str,
    tenant: str,
    topics: Sequence[str],
    heartbeat_ms: int,
    expires_at: int | None = None,
) -> bytes:
    """`stream.ready`, the first event of a stream; its id is the position after which this stream goes on.

    stream: the name of this stream, for logs and support. topics: the filters in force. heartbeat_ms: how often the
    server says something; silence of twice as long means a dead connection. expires_at: when the token ends, None
    without one.
    """
    document = {
        "stream": stream,
        "tenant": tenant,
        "topics": list(topics),
        "heartbeat_ms": heartbeat_ms,
        "expires_at": expires_at,
    }
    return _frame(position, "stream.ready", document)


def gap(position: Position | None, gap: Gap) -> bytes:
    """`stream.gap`; its id is the position after which the stream goes on."""
    return _frame(position, "stream.gap", gap.document())


def checkpoint(position: Position | None) -> bytes:
    """`stream.checkpoint`: moves the id of a client whose topics are quiet, so that its resume does not expire."""
    return _frame(position, "stream.checkpoint", {})


def heartbeat(time_ms: int) -> bytes:
    """`stream.heartbeat`, for readers that cannot see comments; without an id. time_ms: the server's clock."""
    return _frame(None, "stream.heartbeat", {"time_ms": time_ms})


def expiring(expires_at: int) -> bytes:
    """`stream.expiring`: the token ends then, and this stream with it; without an id."""
    return _frame(None, "stream.expiring", {"expires_at": expires_at})


def drain(retry_ms: int) -> bytes:
    """`stream.drain`: this pod goes away, connect again after retry_ms (at least 1, else ValueError); without an id.

    The frame carries the `retry` field too, as a native EventSource heeds nothing else.
    """
    return retry_line(retry_ms) + _frame(None, "stream.drain", {"retry_ms": retry_ms})


def error(code: Code, message: str, retry: bool | int, trace_id: str | None) -> bytes:  # noqa: FBT001 - as in JSON
    """`error`, always the last frame; without an id, so that the client resumes where it was.

    retry: whether to come back, or after how many ms (at least 1, else ValueError); these are then in the frame's
    `retry` field too, as a native EventSource heeds nothing else.
    """
    document = {"code": code.value, "message": message, "retry": retry, "trace_id": trace_id}
    frame = _frame(None, "error", document)
    return frame if isinstance(retry, bool) else retry_line(retry) + frame


def _frame(position: Position | None, event: str, document: Mapping[str, object]) -> bytes:
    return encode("" if position is None else str(position), event, orjson.dumps(document))
