"""Work that whoever asked for it may have left by the time it fails."""

from __future__ import annotations

import asyncio
from typing import Any


def abandoned(done: asyncio.Future[Any]) -> None:
    """A callback for the end of such work: its error counts as read, and is not logged as one that nobody saw."""
    if not done.cancelled():
        done.exception()
