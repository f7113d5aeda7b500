"""When a condition holds, and which ones are refused."""

import json
from typing import Any

import pytest
from pydantic import ValidationError

from slipstream.shape.condition import Condition, check_of, document_of
from slipstream.shape.event import Event

DATA = {"delay": 95, "ratio": 0.5, "origin": "HNL", "ok": True, "none": None, "a/b": {"~x": [10, {"y": 0}]}, "": 1}
EVENT = Event("abcdefgh-7-0", "flights.HNL.SFO", "delayed", 0, json.dumps(DATA).encode())


def holds(condition: dict[str, Any], event: Event = EVENT) -> bool:
    found = check_of(Condition.model_validate(condition))(event, document_of(event))
    turned = check_of(Condition.model_validate(condition | {"not": True}))(event, document_of(event))
    assert turned is not found
    return found


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ({"topic": "flights.HNL.SFO"}, True),
        ({"topic": "flights.*.SFO"}, True),
        ({"topic": "flights.>"}, True),
        ({"topic": ["quakes.>", "flights.*.*"]}, True),
        ({"topic": "flights.*"}, False),
        ({"event": "delayed"}, True),
        ({"event": ["", "delayed"]}, True),
        ({"event": ""}, False),
        ({"pointer": "/delay", "equals": 95}, True),
        ({"pointer": "/delay", "equals": 95.0}, True),
        ({"pointer": "/delay", "equals": "95"}, False),
        ({"pointer": "/ok", "equals": True}, True),
        ({"pointer": "/ok", "equals": 1}, False),
        ({"pointer": "//", "equals": 1}, False),
        ({"pointer": "/", "equals": 1}, True),
        ({"pointer": "/none", "equals": None}, True),
        ({"pointer": "/nothing", "equals": None}, False),
        ({"pointer": "/origin", "in": ["SFO", "HNL"]}, True),
        ({"pointer": "/origin", "in": ["SFO", None, 1]}, False),
        ({"pointer": "/none", "exists": True}, True),
        ({"pointer": "/nothing", "exists": True}, False),
        ({"pointer": "/nothing", "exists": False}, True),
        ({"pointer": "", "exists": True}, True),
        ({"pointer": "/delay", "greater": 94.5}, True),
        ({"pointer": "/delay", "greater": 95}, False),
        ({"pointer": "/delay", "less": 95}, False),
        ({"pointer": "/ratio", "greater": 0, "less": 1}, True),
        ({"pointer": "/ratio", "greater": 0, "less": 0.5}, False),
        ({"pointer": "/ok", "greater": 0}, False),
        ({"pointer": "/origin", "greater": 0}, False),
        ({"pointer": "/nothing", "less": 0}, False),
        ({"pointer": "/a~1b/~0x/0", "equals": 10}, True),
        ({"pointer": "/a~1b/~0x/1/y", "less": 1}, True),
        ({"pointer": "/a~1b/~0x/2", "exists": True}, False),
        ({"pointer": "/a~1b/~0x/-1", "exists": True}, False),
        ({"pointer": "/a~1b/~0x/00", "exists": True}, False),
        ({"pointer": "/a~1b/~0x", "equals": 10}, False),
        ({"pointer": "/origin/0", "exists": True}, False),
    ],
)
def test_a_condition_holds_or_not(condition: dict[str, Any], expected: bool) -> None:  # noqa: FBT001 - a row of a table
    assert holds(condition) is expected


def test_in_data_that_is_not_json_nothing_exists() -> None:
    text = EVENT._replace(data=b"delay 95")
    assert not holds({"pointer": "", "exists": True}, text)
    assert not holds({"pointer": "/delay", "equals": None}, text)
    assert holds({"pointer": "/delay", "exists": False}, text)


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"not": True},
        {"topic": "a", "event": "b"},
        {"topic": "a", "equals": 1},
        {"topic": "a..b"},
        {"topic": []},
        {"event": 5},
        {"pointer": "/a"},
        {"pointer": "a", "exists": True},
        {"pointer": "/a~2", "exists": True},
        {"pointer": "/a", "exists": 1},
        {"pointer": "/a", "greater": "1"},
        {"pointer": "/a", "less": True},
        {"pointer": "/a", "equals": [1]},
        {"pointer": "/a", "in": []},
        {"pointer": "/a", "equal": 1},
        {"equals": 1},
    ],
)
def test_a_condition_that_says_nothing_clear_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Condition.model_validate(wrong)
