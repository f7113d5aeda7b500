"""Log lines: JSON for collectors, text for people, on standard error. Each says whose work it is, where that is known.

What comes from outside cannot forge a line of its own (CWE-117): JSON escapes, and so does the text.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final, Literal

import orjson

from slipstream.resilience.context import TENANT, TRACE_ID

_MESSAGE_MAX: Final = 4_000
_EXCEPTION_MAX: Final = 16_000
"""Characters of a traceback; of a longer one the end says what failed."""

_TEXT: Final = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"
_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""C0 and C1 controls, ANSI's escape among them; what ends or turns a line (UAX 9, UAX 14); halves of no character."""


class JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            **dict(_context()),
            "message": _sound(record.getMessage()[:_MESSAGE_MAX]),
        }
        if record.exc_info:
            line["exception"] = _sound(self.formatException(record.exc_info)[-_EXCEPTION_MAX:])
        # JSON has to escape C0 alone, which leaves a terminal the others.
        return _CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", orjson.dumps(line, default=str).decode())


class TextFormatter(logging.Formatter):
    """A line for people; of a traceback each line is moved in, so that none looks like a record."""

    def __init__(self) -> None:
        super().__init__(_TEXT)

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 the library's name
        """The first line."""
        record.message = "".join(
            [*(f"[{name} {value}] " for name, value in _context()), _visible(record.message[:_MESSAGE_MAX])]
        )
        return super().formatMessage(record)

    def formatException(self, ei: logging._SysExcInfoType) -> str:  # noqa: N802
        """The traceback."""
        lines = super().formatException(ei)[-_EXCEPTION_MAX:].split("\n")
        return "\n".join(f"    {_visible(line)}" for line in lines)


def _context() -> Iterator[tuple[str, str]]:
    for variable in (TENANT, TRACE_ID):
        value = variable.get()
        if value is not None:
            yield variable.name, value


def _visible(text: str) -> str:
    return _CONTROL.sub(lambda found: ascii(found[0])[1:-1], text)


def _sound(text: str) -> str:
    # A path may hold a lone surrogate for each byte that is no UTF-8; orjson refuses those.
    return text.encode(errors="backslashreplace").decode()


def configure_logging(level: str, style: Literal["json", "text"]) -> None:
    """Send everything from `level` up to standard error; called once, by the composition root."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter() if style == "json" else TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # aiohttp names every malformed request: what matters is answered and counted by us.
    logging.getLogger("aiohttp").setLevel(logging.ERROR)
    logging.getLogger("nats").setLevel(logging.WARNING)
    logging.captureWarnings(capture=True)
