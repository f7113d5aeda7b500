"""The newest event of each topic on its way to one reader, one list after the other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from slipstream.protocol.event import Record


class Snapshot:
    """Holds the list that is being sent until all of it is out: a socket takes what it takes.

    `batches` are ascending by sequence, in and across lists.
    """

    __slots__ = ("_asking", "_batches", "_records")

    def __init__(self, batches: AsyncGenerator[list[Record], None]) -> None:
        self._batches = batches
        self._records: list[Record] = []
        self._asking = False

    async def after(self, cursor: int) -> list[Record]:
        """A list that has something after `cursor`, the same as before where it still has; empty at the end."""
        while not self._records or self._records[-1].seq <= cursor:
            self._asking = True
            try:
                records = await anext(self._batches, None)
            finally:
                self._asking = False
            if records is None:
                return []
            self._records = records
        return self._records

    async def aclose(self) -> None:
        """It is not wanted any more; whoever waits in `after` ends it."""
        await self._batches.aclose()

    def close(self) -> None:
        """The same from outside a coroutine: left to whoever waits in `after`, else to a task."""
        if not self._asking:
            asyncio.get_running_loop().create_task(self.aclose(), name="close-snapshot")
