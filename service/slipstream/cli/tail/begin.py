"""Where a tail begins: what `--from` says, and what a bookmark and a saved file remember. Pure."""

import re
from datetime import UTC, datetime
from typing import Final, NamedTuple

from slipstream.protocol.errors import SlipstreamError, quoted
from slipstream.protocol.position import Position

WORDS: Final = ("now", "earliest", "last")

_AGO: Final = re.compile(r"([0-9]{1,6})([smhd])")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)")


class Begin(NamedTuple):
    """One of the two, or none, which is now. since: as the parameter `since` has it."""

    last_event_id: str | None = None
    since: str | None = None


def parse_from(text: str, now: float) -> Begin:
    """What `--from` says: now, earliest, last, an RFC 3339 time, so long ago (90s, 15m, 2h, 1d), or an event id.

    now: seconds since 1970. Raises ValueError.
    """
    if text in WORDS or _TIME.fullmatch(text):
        return Begin(since=text)
    if ago := _AGO.fullmatch(text):
        moment = max(0.0, now - int(ago[1]) * _SECONDS[ago[2]])
        return Begin(since=datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds"))
    try:
        Position.parse(text)
    except SlipstreamError:
        raise ValueError(
            f"--from is now, earliest, last, a time as 2026-11-24T12:00:00Z, a while ago as 15m, or an event id, not"
            f" {quoted(text)}"
        ) from None
    return Begin(last_event_id=text)


def remembered(bookmark: str | None, saved: str | None) -> str | None:
    """The id to go on after, of those in the bookmark and in the last saved line; None when there is none.

    The bookmark is written after the line, so that a crash between the two would save that line again: the line counts
    where it is the later one of the same log. Both are checked ids.
    """
    if bookmark is None or saved is None:
        return bookmark or saved
    marked, line = Position.parse(bookmark), Position.parse(saved)
    return saved if line.epoch == marked.epoch and line.seq > marked.seq else bookmark
