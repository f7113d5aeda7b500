"""Log lines: JSON for collectors, text for people, on standard error."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Final, Literal

import orjson

_MESSAGE_MAX: Final = 4_000

_TEXT: Final = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"


class JsonFormatter(logging.Formatter):
    """One JSON object a line. JSON's escaping keeps what a client sent from forging a line of its own (CWE-117)."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage()[:_MESSAGE_MAX],
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return orjson.dumps(line, default=str).decode()


def configure_logging(level: str, style: Literal["json", "text"]) -> None:
    """Send everything from `level` up to standard error; called once, by the composition root."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter() if style == "json" else logging.Formatter(_TEXT))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # aiohttp names every malformed request: what matters is answered and counted by us.
    logging.getLogger("aiohttp").setLevel(logging.ERROR)
    logging.getLogger("nats").setLevel(logging.WARNING)
    logging.captureWarnings(capture=True)
