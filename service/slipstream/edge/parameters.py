"""Parameters that are none of ours. Most are somebody else's and pass; one that is nearly ours is a slip.

Proxies, frameworks and campaigns add their own (`_=123`, `utm_source`), so nobody can refuse all. But `topics=orders`
would open a stream of everything, and nobody would be told.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from functools import lru_cache
from itertools import islice
from typing import Final

from slipstream.protocol.errors import Code, SlipstreamError, quoted
from slipstream.protocol.retry import PARAMETER

KNOWN: Final = frozenset(
    {
        "access_token",
        "envelope",
        "heartbeat",
        "last_event_id",
        "limit",
        "refusal",
        "since",
        "subject",
        "tenant",
        "ticket",
        "topic",
        "wait",
        PARAMETER,
    }
)
"""Every parameter that any path of ours reads."""

_ALIKE: Final = 0.8
"""Of difflib's ratio: `topics`, `topic[]`, `tennant`, `lastEventId` and `last-event-id` are over it, `token` is not."""
_LONGEST: Final = int(max(map(len, KNOWN)) * (2 - _ALIKE) / _ALIKE)
"""A longer name cannot be alike."""
_MOST: Final = 16
"""Names that are looked at: a request may bring thousands."""


def refuse_misspelt(parameters: Iterable[str]) -> None:
    """Raises BAD_REQUEST for a name that is nearly one of ours, and says which."""
    if KNOWN.issuperset(parameters):
        return
    for name in islice((one for one in parameters if one not in KNOWN), _MOST):
        meant = _meant(name) if len(name) <= _LONGEST else None
        if meant is not None:
            raise SlipstreamError(Code.BAD_REQUEST, f"{quoted(name)} is not a parameter: did you mean {meant}?")


@lru_cache(maxsize=256)
def _meant(name: str) -> str | None:
    """Compared without case, as some write lastEventId: names are told apart by it."""
    return next(iter(get_close_matches(name.lower(), KNOWN, n=1, cutoff=_ALIKE)), None)
