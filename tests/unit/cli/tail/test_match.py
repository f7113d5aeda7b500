"""Which events are shown."""

import json

import pytest

from slipstream.cli.tail.match import Condition, Wanted

DATA = {
    "mag": 4.5,
    "felt": None,
    "tsunami": False,
    "place": "5 km W of Cobb",
    "count": 7,
    "code": "7",
    "at": ["a", {"b": 1}],
    "a/b": {"m~n": 2},
    "": "empty",
    "time": "2026-11-24T12:00:00Z",
}


@pytest.mark.parametrize(
    "text",
    [
        "/mag",
        "/felt",
        "/mag=4.5",
        "/mag=4.50",
        "/mag>=4.5",
        "/mag>4",
        "/mag<5",
        "/mag!=4",
        "/felt=null",
        "/tsunami=false",
        "/place=5 km W of Cobb",
        '/place="5 km W of Cobb"',
        "/count=7",
        "/code=7",
        '/code="7"',
        "/at/0=a",
        "/at/1/b=1",
        '/at/1={"b": 1}',
        "/a~1b/m~0n=2",
        "/=empty",
        "/time>2026-11-23",
        "/time<=2026-11-24T12:00:00Z",
        "/code<8",
        "/place>4",
    ],
)
def test_what_holds(text: str) -> None:
    assert Condition.parse(text).holds(DATA)


@pytest.mark.parametrize(
    "text",
    [
        "/magnitude",
        "/magnitude!=4",
        "/mag=4",
        "/mag<4.5",
        "/mag>four",
        "/tsunami=0",
        "/tsunami<1",
        "/count=true",
        "/felt>0",
        "/at/00",
        "/at/2",
        "/at/-",
        "/mag/0",
        '/count="7"',
    ],
)
def test_what_does_not_hold(text: str) -> None:
    assert not Condition.parse(text).holds(DATA)


@pytest.mark.parametrize("text", ["", "mag", "mag=4", "=4", "/a~2b", "/a~", "/a!4"])
def test_what_is_no_condition_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="--match is a JSON pointer"):
        Condition.parse(text)


def test_all_conditions_must_hold_and_one_name() -> None:
    data = json.dumps(DATA)
    both = [Condition.parse("/mag>4"), Condition.parse("/count=7")]
    assert Wanted().matches("anything", "")
    assert Wanted(["a", "b"]).matches("b", "")
    assert not Wanted(["a", "b"]).matches("c", "")
    assert Wanted(["a"], both).matches("a", data)
    assert not Wanted(["b"], both).matches("a", data)
    assert not Wanted([], [*both, Condition.parse("/count=8")]).matches("a", data)


@pytest.mark.parametrize("data", ["", "plain", "{", "[" * 100_000])
def test_data_that_is_no_json_meets_no_condition(data: str) -> None:
    assert not Wanted([], [Condition.parse("/a")]).matches("a", data)
