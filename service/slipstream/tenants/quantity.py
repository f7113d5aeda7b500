"""Durations and sizes as people write them in a document: `24h`, `1d12h`, `1GiB`, `512Mi`, or the plain number."""

import re
from typing import Final

_DURATION: Final = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?", re.ASCII)
_UNIT_SECONDS: Final = (86_400, 3_600, 60, 1)

_SIZE: Final = re.compile(r"(\d+)([KMGT]i?)?B?", re.ASCII)
_PREFIXES: Final = {
    None: 1,
    "K": 1_000,
    "M": 1_000_000,
    "G": 1_000_000_000,
    "T": 1_000_000_000_000,
    "Ki": 1 << 10,
    "Mi": 1 << 20,
    "Gi": 1 << 30,
    "Ti": 1 << 40,
}

_LENGTH_MAX: Final = 18
"""Longest text that is read: no sensible value is longer, and Python refuses numbers of 4,300 digits."""


def parse_duration(text: str) -> int:
    """Seconds of a duration: a number of seconds, or days, hours, minutes and seconds in that order.

    Raises ValueError on anything else.
    """
    if text.isascii() and text.isdecimal() and len(text) <= _LENGTH_MAX:
        return int(text)
    match = _DURATION.fullmatch(text)
    if not text or len(text) > _LENGTH_MAX or match is None:
        raise ValueError("write a duration as seconds or like 90m, 24h, 7d, 1d12h")
    return sum(int(count) * unit for count, unit in zip(match.groups("0"), _UNIT_SECONDS, strict=True))


def parse_size(text: str) -> int:
    """Bytes of a size: a number of bytes, or one with K, M, G, T (powers of 1,000) or Ki, Mi, Gi, Ti (of 1,024).

    A final B changes nothing: `1GiB` and Kubernetes' `1Gi` are the same. Raises ValueError on anything else.
    """
    match = _SIZE.fullmatch(text) if len(text) <= _LENGTH_MAX else None
    if match is None:
        raise ValueError("write a size as bytes or like 256KiB, 512MiB, 1GiB, 1Gi")
    return int(match[1]) * _PREFIXES[match[2]]
