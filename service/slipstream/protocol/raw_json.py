"""JSON read without being spelled anew: 1.0 stays 1.0, 1e400 and a number of 30 digits stay what they are.

A parser that answers Python objects forgets how a number was written, and the producer's own bytes are what readers
are owed. So the standard library's scanner checks each value and says where it ends, and the text between is kept.
(orjson reads 30 digits as a double, and refuses 1e400.)
"""

import json
import re
from collections.abc import Iterator
from typing import Any, Final, NamedTuple, NoReturn

MEMBERS_MAX: Final = 256
"""Of one object that is read member by member: an event has five, a CloudEvent some dozens. Each costs 5 us."""


class NotJson(ValueError):
    """The text is not JSON (RFC 8259); the message says what is wrong and where."""


class Raw(NamedTuple):
    """One JSON value. text: as it is written. value: as Python sees it, its numbers only roughly."""

    value: Any
    text: str

    @property
    def compact(self) -> str:
        """The text without the whitespace between its tokens."""
        return "".join(_TOKENS.findall(self.text))


Members = list[tuple[str, Raw]]
"""The members of a JSON object in the order of the text, names that come twice included."""


def _refuse(constant: str) -> NoReturn:
    raise NotJson(f"{constant} is no JSON value")


# Converting to float never fails, while int() refuses more than 4,300 digits.
_DECODER: Final = json.JSONDecoder(parse_int=float, parse_constant=_refuse)
_TOKENS: Final = re.compile(r'(?:[^" \t\n\r]++|"[^"\\]*+(?:\\.[^"\\]*+)*+")++')
_SPACE: Final = re.compile(r"[ \t\n\r]*+")
_NAME: Final = re.compile(r'[ \t\n\r]*+("[^"\\\x00-\x1f]*+(?:\\.[^"\\\x00-\x1f]*+)*+")[ \t\n\r]*+:[ \t\n\r]*+')
_NEXT: Final = re.compile(r"[ \t\n\r]*+([,\]}])[ \t\n\r]*+")
_FAULTS: Final = (json.JSONDecodeError, RecursionError)


def parse_object(text: str) -> Members:
    """The members of the one object that is the text. Raises NotJson; for another value, too."""
    try:
        members, end = _object(text, _begin(text, "{", "an object"))
    except _FAULTS as error:
        raise _fault(error) from error
    _end(text, end)
    return members


def parse_array(text: str) -> Iterator[Members | None]:
    """The elements of the one array that is the text: the members of each, None for one that is no object.

    Raises NotJson, maybe after some elements: what was read until then is then no array's.
    """
    at = _skip(text, _begin(text, "[", "an array"))
    if text.startswith("]", at):
        _end(text, at + 1)
        return
    while True:
        members = None
        try:
            if text.startswith("{", at):
                members, at = _object(text, at + 1)
            else:
                _, at = _DECODER.raw_decode(text, at)
        except _FAULTS as error:
            raise _fault(error) from error
        yield members
        sign, at = _next(text, at, "]")
        if sign == "]":
            _end(text, at)
            return


def is_json(text: str) -> bool:
    """Whether the text is one JSON value, whitespace around it allowed."""
    try:
        _, end = _DECODER.raw_decode(text, _skip(text, 0))
        _end(text, end)
    except (NotJson, *_FAULTS):
        return False
    return True


def _object(text: str, at: int) -> tuple[Members, int]:
    """The members of the object whose brace was read, and where it ends."""
    members: Members = []
    if text.startswith("}", _skip(text, at)):
        return members, _skip(text, at) + 1
    while True:
        found = _NAME.match(text, at)
        if found is None:
            raise NotJson(f"a name in quotes and a colon belong at character {at}")
        name, at = found[1], found.end()
        value, end = _DECODER.raw_decode(text, at)
        members.append((json.loads(name) if "\\" in name else name[1:-1], Raw(value, text[at:end])))
        if len(members) > MEMBERS_MAX:
            raise NotJson(f"an object has more than {MEMBERS_MAX} members")
        sign, at = _next(text, end, "}")
        if sign == "}":
            return members, at


def _begin(text: str, sign: str, what: str) -> int:
    at = _skip(text, 0)
    if not text.startswith(sign, at):
        raise NotJson(f"{what} belongs at character {at}")
    return at + 1


def _next(text: str, at: int, last: str) -> tuple[str, int]:
    """A comma or the end, and what is behind it."""
    found = _NEXT.match(text, at)
    if found is None or found[1] not in (",", last):
        raise NotJson(f"',' or {last!r} belongs at character {at}")
    return found[1], found.end()


def _end(text: str, at: int) -> None:
    if (rest := _skip(text, at)) != len(text):
        raise NotJson(f"something follows the end, at character {rest}")


def _skip(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return at if found is None else found.end()


def _fault(error: json.JSONDecodeError | RecursionError) -> NotJson:
    if isinstance(error, RecursionError):
        return NotJson("it is nested too deeply")
    return NotJson(f"{error.msg} at character {error.pos}")
