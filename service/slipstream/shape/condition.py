"""Conditions on an event: its topic, its name, or a value in its JSON."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Final, Self

import orjson
from pydantic import AfterValidator, BeforeValidator, Field, StrictFloat, StrictInt, model_validator

from slipstream.protocol.errors import SlipstreamError
from slipstream.protocol.topic import Filter
from slipstream.shape.event import Event
from slipstream.tenants.part import Part

_INDEX: Final = re.compile(r"0|[1-9][0-9]{0,9}")
_MISSING: Final = object()
_TESTS: Final = frozenset({"equals", "one_of", "exists", "greater", "less"})


def _pointer(text: str) -> str:
    if text and not text.startswith("/"):
        raise ValueError("a JSON pointer is empty or begins with / (RFC 6901): write /delay")
    if re.search(r"~(?![01])", text):
        raise ValueError("in a JSON pointer ~ is written ~0 and / is written ~1 (RFC 6901)")
    return text


def _pattern(text: str) -> str:
    try:
        return Filter.parse(text).text
    except SlipstreamError as error:
        raise ValueError(error.message) from error


_Scalar = str | int | float | bool | None
_Number = StrictInt | StrictFloat
_OneOrMore = BeforeValidator(lambda value: [value] if isinstance(value, str) else value)
_Many = Field(min_length=1, max_length=64)


class Condition(Part):
    """One condition: exactly one of `topic`, `event` and `pointer`.

    topic: one pattern or several (`*`, `>`), of which one matches. event: one name or several; "" is the default.
    pointer: a JSON pointer (RFC 6901) into the data, with tests that all hold: `equals` and `in` (texts, numbers,
        true, false, null), `exists`, `greater` and `less` (numbers). In data that is not JSON nothing exists.
    not: true turns the condition around.
    """

    topic: Annotated[tuple[Annotated[str, AfterValidator(_pattern)], ...], _Many, _OneOrMore] | None = None
    event: Annotated[tuple[str, ...], _Many, _OneOrMore] | None = None
    pointer: Annotated[str, Field(max_length=256), AfterValidator(_pointer)] | None = None
    equals: _Scalar = None
    one_of: Annotated[Annotated[tuple[_Scalar, ...], _Many] | None, Field(alias="in")] = None
    exists: Annotated[bool, Field(strict=True)] | None = None
    greater: _Number | None = None
    less: _Number | None = None
    negated: Annotated[bool, Field(strict=True, alias="not")] = False

    @model_validator(mode="after")
    def _one_subject(self) -> Self:
        subjects = [name for name in ("topic", "event", "pointer") if getattr(self, name) is not None]
        tests = _TESTS & self.model_fields_set
        if len(subjects) != 1 or bool(tests) != (subjects == ["pointer"]):
            raise ValueError("give topic, or event, or pointer with equals, in, exists, greater or less")
        return self


Check = Callable[[Event, object], bool]
"""Whether a condition holds for an event, and for what `document_of` made of its data."""


def check_of(condition: Condition) -> Check:
    """The condition, made ready to be asked for each event."""
    if condition.topic is not None:
        filters = [Filter.parse(each) for each in condition.topic]
        return _turned(condition, lambda event, _: any(each.matches(event.topic) for each in filters))
    if condition.event is not None:
        names = frozenset(condition.event)
        return _turned(condition, lambda event, _: event.event in names)
    parts = (condition.pointer or "").split("/")[1:]
    steps = [part.replace("~1", "/").replace("~0", "~") for part in parts]
    tests = _value_tests(condition)

    def holds(_event: Event, document: object) -> bool:
        value = _at(document, steps)
        return all(test(value) for test in tests)

    return _turned(condition, holds)


def _turned(condition: Condition, check: Check) -> Check:
    return (lambda event, document: not check(event, document)) if condition.negated else check


def _value_tests(condition: Condition) -> list[Callable[[Any], bool]]:
    tests: list[Callable[[Any], bool]] = []
    if condition.exists is not None:
        tests.append(lambda value: (value is not _MISSING) == condition.exists)
    if "equals" in condition.model_fields_set:
        tests.append(lambda value: _alike(value, condition.equals))
    if (choices := condition.one_of) is not None:
        tests.append(lambda value: any(_alike(value, each) for each in choices))
    if (least := condition.greater) is not None:
        tests.append(lambda value: _is_number(value) and value > least)
    if (most := condition.less) is not None:
        tests.append(lambda value: _is_number(value) and value < most)
    return tests


def document_of(event: Event) -> Any:
    """The event's data as JSON, for conditions to look into; nothing exists in what is not JSON."""
    try:
        return orjson.loads(event.data)
    except orjson.JSONDecodeError:
        return _MISSING


def _at(value: Any, steps: Sequence[str]) -> object:
    for step in steps:
        if isinstance(value, dict):
            value = value.get(step, _MISSING)
        elif isinstance(value, list) and _INDEX.fullmatch(step) and int(step) < len(value):
            value = value[int(step)]
        else:
            return _MISSING
    return value


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _alike(value: object, other: object) -> bool:
    """Equal as JSON has it: to Python, true is 1."""
    return isinstance(value, bool) == isinstance(other, bool) and value == other
