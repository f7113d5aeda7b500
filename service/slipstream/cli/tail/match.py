"""Which events a tail shows: by name, and by conditions on JSON data. Pure.

A condition is a JSON pointer (RFC 6901), or one with an operator and a value: `/mag`, `/mag>=4.5`, `/place=Tokyo`.
A pointer ends at the first of `= ! < >`; a key with one of those in it cannot be named.
"""

import json
import operator
import re
from collections.abc import Callable, Collection, Sequence
from typing import Any, Final, NamedTuple

from slipstream.protocol.errors import quoted

_CONDITION: Final = re.compile(r"((?:/[^=!<>/]*)+)(?:(!=|<=|>=|=|<|>)(.*))?", re.DOTALL)
_BAD_ESCAPE: Final = re.compile(r"~(?![01])")
_INDEX: Final = re.compile(r"0|[1-9][0-9]*", re.ASCII)
_ORDER: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


class _Absent:
    """What a pointer finds where there is nothing: null is something."""


_ABSENT: Final = _Absent()


class Condition(NamedTuple):
    """path: the pointer's keys. sign: "" asks only whether there is something. text: the value as written."""

    path: tuple[str, ...]
    sign: str
    text: str
    value: object

    @classmethod
    def parse(cls, text: str) -> "Condition":
        """Raises ValueError."""
        found = _CONDITION.fullmatch(text)
        if found is None or _BAD_ESCAPE.search(found[1]):
            raise ValueError(
                f"--match is a JSON pointer, or one with =, !=, <, <=, > or >= and a value, as /mag>=4.5, not"
                f" {quoted(text)}"
            )
        path = tuple(key.replace("~1", "/").replace("~0", "~") for key in found[1].split("/")[1:])
        written = found[3] or ""
        return cls(path, found[2] or "", written, _value(written))

    def holds(self, document: object) -> bool:
        """Whether it is so in this JSON document.

        `=` compares JSON values, and strings as they are written: 7 and "7" are both =7. `!=` wants something there
        that is another value. Order is that of two numbers, or of a string and the value as written.
        """
        found = self._find(document)
        if isinstance(found, _Absent):
            return False
        match self.sign:
            case "":
                return True
            case "=":
                return self._equals(found)
            case "!=":
                return not self._equals(found)
            case sign if isinstance(found, str):
                wanted = self.value if isinstance(self.value, str) else self.text
                return _ORDER[sign](found, wanted)
            case sign:
                return _number(found) and _number(self.value) and _ORDER[sign](found, self.value)

    def _equals(self, found: object) -> bool:
        if isinstance(found, bool) or isinstance(self.value, bool):
            return found is self.value
        return found in (self.value, self.text)

    def _find(self, document: object) -> object:
        for key in self.path:
            if isinstance(document, dict):
                document = document.get(key, _ABSENT)
            elif isinstance(document, list) and _INDEX.fullmatch(key) and int(key) < len(document):
                document = document[int(key)]
            else:
                return _ABSENT
        return document


class Wanted(NamedTuple):
    """Names of which an event must have one, all where there are none; conditions that its data must meet, all."""

    names: Collection[str] = ()
    conditions: Sequence[Condition] = ()

    @property
    def everything(self) -> bool:
        """Whether nothing is left out."""
        return not self.names and not self.conditions

    def matches(self, event: str, data: str) -> bool:
        """Whether this event is shown. Data that is no JSON meets no condition."""
        if self.names and event not in self.names:
            return False
        if not self.conditions:
            return True
        try:
            document = json.loads(data)
        except (ValueError, RecursionError):
            return False
        return all(one.holds(document) for one in self.conditions)


def _value(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
