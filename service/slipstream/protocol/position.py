"""Positions: the durable place of an event in its tenant's log, and the event ids made of them.

A number alone lies after a log was replaced or lost its tail: number 7 exists again and is another event. So a
position also names the log (`epoch`) and exposes re-used numbers (`mark`).
"""

import re
from functools import lru_cache
from typing import Final, NamedTuple, Self

from slipstream.protocol.errors import Code, SlipstreamError, quoted

ID_MAX: Final = 128
"""Most characters of an event id."""

_SEQ_MAX: Final = 2**64 - 1
_MARKS: Final = 2**32
_MARK_BITS: Final = _MARKS - 1
_ID: Final = re.compile(r"([a-z0-9]{8})-(0|[1-9][0-9]{0,19})(?:-(0|[1-9a-z][0-9a-z]{0,6}))?(?:\.[A-Za-z0-9._-]+)?")
_DIGITS: Final = "0123456789abcdefghijklmnopqrstuvwxyz"
_KEY_ALPHABET: Final = f"{_DIGITS}{_DIGITS[10:].upper()}._-"
_PAIRS: Final = tuple(high + low for high in _DIGITS for low in _DIGITS)
_PAIR: Final = 36 * 36


class Position(NamedTuple):
    """A place in a tenant's log.

    epoch: 8 characters [a-z0-9] that name the log; positions of different epochs have no order.
    seq: the JetStream stream sequence; 0 is the place before the first event.
    mark: the event's stored time in milliseconds mod 2^32; None means not to be checked.
    """

    epoch: str
    seq: int
    mark: int | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """A position from an event id, `<epoch>-<seq>[-<mark>][.<key>]`; the key is ignored.

        Raises SlipstreamError BAD_REQUEST when it is malformed or over 128 characters.
        """
        found = _ID.fullmatch(text) if len(text) <= ID_MAX else None
        if found:
            epoch, seq, mark = found.groups()
            place = cls(epoch, int(seq), None if mark is None else int(mark, 36))
            if place.seq <= _SEQ_MAX and (place.mark is None or place.mark < _MARKS):
                return place
        raise SlipstreamError(
            Code.BAD_REQUEST,
            f"{quoted(text)} is not an event id (<epoch>-<seq>[-<mark>][.<key>], at most {ID_MAX} characters): "
            "send the id of the last event as it was received, or none.",
        )

    def __str__(self) -> str:
        """The canonical event id, without a key: `parse` of it is equal to this position."""
        if self.mark is None:
            return f"{self.epoch}-{self.seq}"
        return f"{self.epoch}-{self.seq}-{_base36(self.mark)}"


def mark_of(time_ms: int) -> int:
    """The mark of an event stored at this time."""
    return time_ms & _MARK_BITS


def time_near(mark: int, now_ms: int) -> int:
    """The time in ms that has this mark and is nearest to now: right for 24 days either way."""
    ahead = (mark - now_ms) & _MARK_BITS
    return now_ms + (ahead if ahead < _MARKS // 2 else ahead - _MARKS)


def format_id(epoch: str, seq: int, time_ms: int, key: str | None = None) -> str:
    """The id of one event; called once per event, so it is written for speed.

    A key that an id cannot carry (other characters than A-Z a-z 0-9 . _ -, or more than fit into 128) is left out:
    the place in the log counts, and a key is for the reader's eyes only.
    """
    mark = time_ms & _MARK_BITS  # half the time of %
    if mark >= _PAIR:
        text = f"{epoch}-{seq}-{_leading(mark // _PAIR)}{_PAIRS[mark % _PAIR]}"
    else:
        text = f"{epoch}-{seq}-{_base36(mark)}"
    if key and len(text) + len(key) < ID_MAX and not key.strip(_KEY_ALPHABET):  # nothing left: all are allowed
        return f"{text}.{key}"
    return text


def _base36(number: int) -> str:
    if number < _PAIR:
        return _PAIRS[number].lstrip("0") or "0"
    return _leading(number // _PAIR) + _PAIRS[number % _PAIR]


@lru_cache(maxsize=1024)
def _leading(number: int) -> str:
    """All but the last two digits: the same for events stored within 1.3 s, so nearly always remembered."""
    return _base36(number)
