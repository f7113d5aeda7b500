"""What tells the readers of one tenant's events apart."""

from __future__ import annotations

from typing import Final, NamedTuple


class Look(NamedTuple):
    """How readers see an event: those with equal looks get equal bytes.

    scopes: of those that the reader's token has, the ones that a masking rule of the tenant asks for.
    envelope: whether the data is a CloudEvent around the event's own.
    """

    scopes: frozenset[str]
    envelope: bool


PLAIN: Final = Look(frozenset(), envelope=False)
"""What readers see who have no scope and asked for nothing."""
