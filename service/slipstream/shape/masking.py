"""Masking: the values of some keys, wherever they are in an event's JSON, as readers of one view may see them.

What cannot be read for sure is not passed on: a reader's parser must not find what ours did not. The rest of the event
keeps its meaning to the letter; numbers keep their spelling, and an event in which nothing is masked keeps its bytes.
"""

from __future__ import annotations

import json
import operator
import re
from collections.abc import Mapping
from typing import Any, Final, NoReturn

import orjson

from slipstream.shape.mask import HIDDEN, Mask
from slipstream.tenants.fold import fold

DEPTH_MAX: Final = 64
"""Most levels of objects, arrays and JSON inside strings."""

_SEEN_MAX: Final = 4_096
_SEEN_KEY_MAX: Final = 128
_OPENERS: Final = frozenset('{["')
# What may stand before JSON: its own white space, and what a tolerant reader takes away as such.
_LEAD: Final = " \t\n\r\v\f\u00a0\u2028\u2029\ufeff"
_STARTS: Final = _OPENERS.union(_LEAD)
_APART: Final = re.compile(r"\W+")
# However often a text was quoted: \u0070, \\u0070. A run of backslashes is looked at once, from its beginning.
_UNICODE: Final = re.compile(r"(?<!\\)\\++u([0-9a-fA-F]{4})")
_CONTROL: Final = re.compile(r"(?<!\\)\\++[bfnrt]")


class Unmaskable(Exception):
    """What is to be masked cannot be found for sure; the message is for people and has nothing of the event."""


class _Number(str):
    """A JSON number as it is spelled: 1.10 and 12345678901234567890 are not to become others."""

    __slots__ = ()


class Masker:
    """The masking of one view. masks: by folded field name (`tenants.fold`); at least one."""

    def __init__(self, masks: Mapping[str, Mask]) -> None:
        self._masks = dict(masks)
        self._seen: dict[str, Mask | None] = {}
        self._decoder = json.JSONDecoder(
            object_pairs_hook=_unique, parse_int=_Number, parse_float=_Number, parse_constant=_refuse
        )

    def mask(self, data: bytes) -> bytes:
        """The data as readers of this view see it; the same bytes where no key is masked.

        Raises Unmaskable for what is not JSON (RFC 8259), has a key twice in one object, is nested deeper than 64,
        or has half a surrogate pair.
        """
        try:
            text = data.decode()
            tree = self._decoder.decode(text)
        except _Twice as error:
            raise Unmaskable("an object has one key twice, and readers differ in which they take") from error
        except (ValueError, RecursionError) as error:  # their messages may quote the data
            raise Unmaskable("the data is not JSON (RFC 8259)") from error
        masked = self._emit(tree, text, 0)
        return data if masked is None else masked

    def _emit(self, tree: Any, text: str, depth: int) -> bytes | None:
        """The masked tree as JSON; None where the text can stay as it is."""
        shown = self._value(tree, depth)
        changed = shown is not tree
        if not changed and "\\u" not in text:
            return None
        try:
            emitted = orjson.dumps(shown, _spelled, orjson.OPT_PASSTHROUGH_SUBCLASS)
        except TypeError as error:  # an orjson.JSONEncodeError: it has no UTF-8
            raise Unmaskable("a text has half a surrogate pair") from error
        return emitted if changed else None

    def _value(self, value: Any, depth: int) -> Any:
        """The value as it may be seen: itself, the same object, where nothing in it is masked."""
        kind = type(value)
        if kind is str:
            return self._text(value, depth) if value[:1] in _STARTS else value
        if kind is dict:
            return self._object(value, depth + 1)
        if kind is list:
            return self._array(value, depth + 1)
        return value

    def _object(self, found: dict[str, Any], depth: int) -> dict[str, Any]:
        _check_depth(depth)
        shown, seen = found, self._seen
        for key, value in found.items():
            mask = seen[key] if key in seen else self._mask_of(key)
            if mask is not None:
                other = _hide(value, mask, depth)
            elif type(value) is _Number or (type(value) is str and value[:1] not in _STARTS):
                continue  # most values are such, and a call for each would cost as much as all else
            else:
                other = self._value(value, depth)
            if other is not value:
                if shown is found:
                    shown = found.copy()
                shown[key] = other
        return shown

    def _array(self, found: list[Any], depth: int) -> list[Any]:
        _check_depth(depth)
        shown = [self._value(value, depth) for value in found]
        return found if all(map(operator.is_, shown, found)) else shown

    def _text(self, text: str, depth: int) -> str:
        """A string as it may be seen: when it is JSON itself, masked inside."""
        inner = text.lstrip(_LEAD)
        if inner[:1] not in _OPENERS:
            return text
        try:
            tree = self._decoder.decode(inner)
        except (ValueError, RecursionError):
            # A text like "[draft] minutes" stays; what a more tolerant reader could find a field in does not.
            return HIDDEN if self._may_name(inner) else text
        _check_depth(depth + 1)
        masked = self._emit(tree, inner, depth + 1)
        return text if masked is None else masked.decode()

    def _may_name(self, text: str) -> bool:
        """Whether a text that is not JSON may have a masked field in it: never False for one that has."""
        spelled = _CONTROL.sub("", _UNICODE.sub(lambda found: chr(int(found[1], 16)), text))
        whole = spelled.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
        folded = (fold(text), fold(whole))
        return any(name in each for name in self._masks for each in folded)

    def _mask_of(self, key: str) -> Mask | None:
        """The mask of a key not seen lately. Of `user.phone`, as flat documents have it, each part counts."""
        name = fold(key)
        mask = self._masks.get(name)
        if mask is None and not name.isalnum():
            mask = next((self._masks[part] for part in _APART.split(name) if part in self._masks), None)
        if len(key) <= _SEEN_KEY_MAX:
            if len(self._seen) >= _SEEN_MAX:
                self._seen.clear()
            self._seen[key] = mask
        return mask


def _hide(value: Any, mask: Mask, depth: int) -> Any:
    """The value of a masked key. Of an object nothing is shown, for its keys may tell as much as its values."""
    kind = type(value)
    if kind is str:
        return mask(value)
    if value is None:
        return None
    if kind is list:
        _check_depth(depth + 1)
        return [_hide(each, mask, depth + 1) for each in value]
    # 1.38e10 is a number of which no digits can be kept, and true is one of two.
    return mask(value) if kind is _Number and value.isdecimal() else HIDDEN


def _check_depth(depth: int) -> None:
    if depth > DEPTH_MAX:
        raise Unmaskable(f"the data is nested deeper than {DEPTH_MAX}")


class _Twice(ValueError):
    pass


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _Twice
    return found


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def _spelled(number: object) -> orjson.Fragment:
    return orjson.Fragment(str(number))
