"""What packages add to Slipstream: hooks and event keys, found by their entry points."""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from typing import Final

HOOKS: Final = "slipstream.hooks"
"""The group of hook factories (`shape.event.HookFactory`)."""

EVENT_KEYS: Final = "slipstream.event_keys"
"""The group of event key factories (`shape.key.KeyFactory`)."""


def built_in(entry: EntryPoint) -> bool:
    """Whether it is our own, so that it may run where events are sent."""
    return entry.module.partition(".")[0] == "slipstream"


def installed(group: str) -> dict[str, EntryPoint]:
    """The entry points of a group by name; none is imported yet.

    Of two with one name our own wins, else the first in the order of what they point to: the same on every pod that
    has the same packages.
    """
    found = sorted(entry_points(group=group), key=lambda entry: (not built_in(entry), entry.value))
    return {entry.name: entry for entry in reversed(found)}
