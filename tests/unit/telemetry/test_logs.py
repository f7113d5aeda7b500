"""Log lines are one JSON object each, whatever is logged."""

import logging
import sys
from contextvars import Context

import orjson
import pytest

from slipstream.resilience.context import TENANT, TRACE_ID
from slipstream.telemetry.logs import JsonFormatter, TextFormatter, configure_logging


def _record(message: str, *args: object, failing: bool = False, why: str = "no") -> logging.LogRecord:
    info = None
    if failing:
        try:
            raise ValueError(why)  # noqa: TRY301
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


OUTSIDE = "topic x\r\n2026-11-24 00:00:00 ERROR   slipstream: forged\x1b[2J\x1b]0;t\x07\x85\u2028\u202e\0 end"


def _formatters() -> list[logging.Formatter]:
    return [JsonFormatter(), TextFormatter()]


@pytest.mark.parametrize("formatter", _formatters(), ids=["json", "text"])
@pytest.mark.parametrize("way", ["argument", "message"])
def test_what_comes_from_outside_stays_in_its_line(formatter: logging.Formatter, way: str) -> None:
    record = _record("got %s", OUTSIDE) if way == "argument" else _record(OUTSIDE)
    line = formatter.format(record)
    assert len(line.splitlines()) == 1, line
    assert line.isprintable()
    if isinstance(formatter, TextFormatter):
        assert "forged\\x1b[2J" in line
    else:
        assert orjson.loads(line)["message"].endswith(OUTSIDE)


@pytest.mark.parametrize("formatter", _formatters(), ids=["json", "text"])
def test_a_path_that_is_no_utf8_and_a_megabyte_are_logged_too(formatter: logging.Formatter) -> None:
    assert "caf\\udce9" in formatter.format(_record("got %s", "caf\udce9")).replace("\\\\", "\\")
    assert len(formatter.format(_record("got %s", "x" * 1_000_000))) < 4_200


def test_of_a_traceback_no_line_looks_like_a_record() -> None:
    record = _record("failed", failing=True, why=OUTSIDE)
    first, *rest = TextFormatter().format(record).split("\n")
    assert first.endswith("failed")
    assert len(rest) > 3
    assert all(line.startswith("    ") and line.isprintable() for line in rest)
    assert TextFormatter().format(record).split("\n") == [first, *rest], "the record keeps what was formatted"
    line = JsonFormatter().format(record)
    assert len(line.splitlines()) == 1
    assert "ValueError: topic x" in orjson.loads(line)["exception"]


def test_a_line_says_whose_work_it_is() -> None:
    assert orjson.loads(JsonFormatter().format(_record("m"))).keys() == {"time", "level", "logger", "message"}

    def work() -> tuple[str, str]:
        TENANT.set("acme")
        TRACE_ID.set("4bf92f3577b34da6a3ce929d0e0e4736")
        return JsonFormatter().format(_record("m")), TextFormatter().format(_record("m"))

    line, text = Context().run(work)
    document = orjson.loads(line)
    assert (document["tenant"], document["trace_id"]) == ("acme", "4bf92f3577b34da6a3ce929d0e0e4736")
    assert text.endswith("slipstream.x: [tenant acme] [trace_id 4bf92f3577b34da6a3ce929d0e0e4736] m")
    assert "tenant" not in TextFormatter().format(_record("m"))
