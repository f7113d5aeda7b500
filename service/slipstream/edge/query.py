"""What a reader asks for: parameters and headers of a read, checked whole before anything is opened."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Final, NamedTuple

from multidict import CIMultiDictProxy, MultiMapping

from slipstream.edge.parameters import refuse_misspelt
from slipstream.fanout.start import After, At, Earliest, Last, Now, Wish
from slipstream.protocol.errors import Code, SlipstreamError, quoted
from slipstream.protocol.position import Position
from slipstream.protocol.topic import Filters, check_tenant

_WAIT_MAX: Final = 30.0
_LIMIT_MAX: Final = 1_000
_LIMIT: Final = 100
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:[Zz]|[+-]\d\d:\d\d)")

_SINCE: Final[Mapping[str, Wish]] = {"now": Now(), "earliest": Earliest(), "last": Last()}


class Query(NamedTuple):
    """A read: where it begins, what it wants, and how that looks.

    heartbeat_event: heartbeats are events, not comments. envelope: the data is a CloudEvent around the event's own.
    """

    wish: Wish
    topics: tuple[str, ...]
    heartbeat_event: bool
    envelope: bool

    def filters(self, limit: int) -> Filters:
        """The topics in canonical form; at most `limit`."""
        return Filters.parse(self.topics, limit)


class Poll(NamedTuple):
    """What a poll adds: seconds to wait for the first event, and most events."""

    wait: float
    limit: int


def parse_query(parameters: MultiMapping[str], headers: CIMultiDictProxy[str]) -> Query:
    """Raises BAD_REQUEST for whatever is malformed, repeated, or nearly one of ours.

    Precedence: `Last-Event-ID` header, `last_event_id`, `since`, now. An empty header or parameter is absent.
    """
    refuse_misspelt(parameters)
    if len(headers.getall("Last-Event-ID", ())) > 1:
        raise SlipstreamError(Code.BAD_REQUEST, "the header Last-Event-ID is repeated: send it once")
    heartbeat = _one(parameters, "heartbeat") or "comment"
    if heartbeat not in ("comment", "event"):
        raise SlipstreamError(Code.BAD_REQUEST, f"heartbeat is comment or event, not {quoted(heartbeat)}")
    envelope = _one(parameters, "envelope") or "none"
    if envelope not in ("none", "cloudevents"):
        raise SlipstreamError(Code.BAD_REQUEST, f"envelope is none or cloudevents, not {quoted(envelope)}")
    refusal = _one(parameters, "refusal") or ""
    if refusal not in ("", "stream", "status"):
        raise SlipstreamError(Code.BAD_REQUEST, f"refusal is stream or status, not {quoted(refusal)}")
    given = headers.get("Last-Event-ID") or _one(parameters, "last_event_id")
    since = _one(parameters, "since")
    wish = After(Position.parse(given), given) if given else _since(since)
    topics = tuple(parameters.getall("topic", ()))
    return Query(wish, topics, heartbeat == "event", envelope == "cloudevents")


def parse_poll(parameters: MultiMapping[str]) -> Poll:
    """The parameters that only a poll has. Raises BAD_REQUEST."""
    wait = _number(parameters, "wait", 0.0, 0.0, _WAIT_MAX)
    return Poll(wait, _whole(parameters, "limit", _LIMIT, _LIMIT_MAX))


class Listing(NamedTuple):
    """Which open streams are asked for: one subject's or all (None), and how many at most."""

    subject: str | None
    limit: int


def parse_listing(parameters: MultiMapping[str]) -> Listing:
    """The parameters of a list of streams. Raises BAD_REQUEST."""
    refuse_misspelt(parameters)
    limit = _whole(parameters, "limit", _LIMIT, _LIMIT_MAX)
    return Listing(_one(parameters, "subject") or None, limit)


def parse_tenant(parameters: MultiMapping[str], headers: CIMultiDictProxy[str]) -> str | None:
    """The tenant that the caller names, by `X-Tenant-ID` or `tenant`; None when it names none.

    Raises BAD_REQUEST when it is malformed, repeated, or the two differ.
    """
    named = headers.getall("X-Tenant-ID", ())
    if len(named) > 1:
        raise SlipstreamError(Code.BAD_REQUEST, "the header X-Tenant-ID is repeated: send it once")
    header, parameter = headers.get("X-Tenant-ID"), _one(parameters, "tenant")
    if header and parameter and header != parameter:
        raise SlipstreamError(Code.BAD_REQUEST, "X-Tenant-ID and the parameter tenant differ: send one of them")
    name = header or parameter
    return check_tenant(name) if name else None


def accepts_gzip(headers: CIMultiDictProxy[str]) -> bool:
    """Whether the client takes gzip (RFC 9110 section 12.5.3): named, or by `*`, and not with a weight of 0."""
    weights: dict[str, float] = {}
    for part in ",".join(headers.getall("Accept-Encoding", ())).split(","):
        coding, _, rest = part.strip().lower().partition(";")
        weight = re.fullmatch(r"\s*q\s*=\s*([01](?:\.[0-9]{0,3})?)\s*", rest)
        weights[coding.strip()] = float(weight[1]) if weight else 1.0
    return weights.get("gzip", weights.get("*", 0.0)) > 0


def _since(text: str | None) -> Wish:
    if not text:
        return Now()
    wish = _SINCE.get(text)
    if wish is not None:
        return wish
    # A + in a query is a space to most libraries: 2026-01-01T00:00:00+02:00 arrives with one.
    written = re.sub(r" (?=\d\d:\d\d$)", "+", text)
    if _RFC3339.fullmatch(written):
        try:
            return At(int(datetime.fromisoformat(written.upper()).timestamp() * 1000))
        except (ValueError, OverflowError):
            pass
    raise SlipstreamError(
        Code.BAD_REQUEST,
        f"since is now, earliest, last or an RFC 3339 time like 2026-11-24T12:00:00Z, not {quoted(text)}",
    )


def _one(parameters: MultiMapping[str], name: str) -> str | None:
    values = parameters.getall(name, ())
    if len(values) > 1:
        raise SlipstreamError(Code.BAD_REQUEST, f"the parameter {name} is repeated: send it once")
    return values[0] if values else None


def _whole(parameters: MultiMapping[str], name: str, default: int, high: int) -> int:
    value = _number(parameters, name, float(default), 1.0, float(high))
    if value != int(value):
        raise SlipstreamError(Code.BAD_REQUEST, f"{name} is a whole number")
    return int(value)


def _number(parameters: MultiMapping[str], name: str, default: float, low: float, high: float) -> float:
    text = _one(parameters, name)
    if not text:
        return default
    try:
        value = float(text) if re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,6})?", text) else float("nan")
    except ValueError:
        value = float("nan")
    if not low <= value <= high:
        raise SlipstreamError(Code.BAD_REQUEST, f"{name} is a number from {low:g} to {high:g}, not {quoted(text)}")
    return value
