"""Masks: what is left of one value that a reader may not see. Each takes and returns text and never raises."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable
from typing import Final

from slipstream.tenants.fold import plain

Mask = Callable[[str], str]

HIDDEN: Final = "***"
"""Stands for a value of which nothing is kept; its length tells nothing."""

_HIDDEN_LEAST: Final = 4
"""Least characters that must be hidden between those that are kept: fewer could be guessed."""

_HASH_DIGITS: Final = 32
_PHONE: Final = re.compile(r"[0-9+()./ \-]+")
_ID_CARD: Final = re.compile(r"[0-9A-Za-z \-]+")
_EMAIL: Final = re.compile(r"([^\s@<>\"(),:;\\]{2,64})@([^\s@<>\"(),:;\\]{1,255})")


def phone(value: str) -> str:
    """The first 3 and last 4 digits: `138****1234`. Separators stay; what is no phone number is hidden whole."""
    return _ends(plain(value).strip(), _PHONE, 3, 4)


def id_card(value: str) -> str:
    """The first 6 and last 4 letters or digits: `110101********1234`. What is no such number is hidden whole."""
    return _ends(plain(value).strip(), _ID_CARD, 6, 4)


def email(value: str) -> str:
    """The first letter and the domain: `a***@example.com`. What is no plain address is hidden whole."""
    found = _EMAIL.fullmatch(plain(value).strip())
    return f"{found[1][0]}{HIDDEN}@{found[2]}" if found else HIDDEN


def redact(_value: str) -> str:
    """Nothing of it."""
    return HIDDEN


def keyed_hash(secret: bytes) -> Mask:
    """HMAC-SHA256 (RFC 2104) of the value, 128 bits in hex: equal values stay equal and nobody can try values out.

    A number, its text and its full-width digits have one hash.
    """

    def mask(value: str) -> str:
        text = plain(value).strip().encode("utf-8", "surrogatepass")
        return hmac.digest(secret, text, hashlib.sha256).hex()[:_HASH_DIGITS]

    return mask


def _ends(text: str, shape: re.Pattern[str], head: int, tail: int) -> str:
    if shape.fullmatch(text) is None:
        return HIDDEN
    places = range(len(text)) if text.isalnum() else [place for place, each in enumerate(text) if each.isalnum()]
    hidden = len(places) - head - tail
    if hidden < _HIDDEN_LEAST:
        return HIDDEN
    if hidden + head + tail == len(text):
        return f"{text[:head]}{'*' * hidden}{text[-tail:]}"
    covered = set(places[head:-tail])
    return "".join("*" if place in covered else each for place, each in enumerate(text))
