"""Log lines are one JSON object each, whatever is logged."""

import logging
import sys

import orjson

from slipstream.telemetry.logs import JsonFormatter, configure_logging


def _record(message: str, *args: object, failing: bool = False) -> logging.LogRecord:
    info = None
    if failing:
        try:
            raise ValueError("no")  # noqa: TRY301
        except ValueError:
            info = sys.exc_info()
    return logging.LogRecord("slipstream.x", logging.WARNING, __file__, 1, message, args, info)


def test_a_line_break_in_what_a_client_sent_does_not_start_a_new_line() -> None:
    line = JsonFormatter().format(_record("topic %r", "a\nb\x1b[31m"))
    assert "\n" not in line
    assert orjson.loads(line)["message"] == "topic 'a\\nb\\x1b[31m'"
    assert "\n" not in JsonFormatter().format(_record("raw\nbreak"))


def test_a_line_names_level_logger_and_exception() -> None:
    line = orjson.loads(JsonFormatter().format(_record("failed", failing=True)))
    assert (line["level"], line["logger"]) == ("warning", "slipstream.x")
    assert "ValueError: no" in line["exception"]


def test_configuring_twice_leaves_one_handler() -> None:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    try:
        configure_logging("info", "json")
        configure_logging("debug", "text")
        assert len(root.handlers) == 1
        assert root.level == logging.DEBUG
    finally:
        root.handlers[:] = before
        root.setLevel(level)
        logging.captureWarnings(capture=False)
