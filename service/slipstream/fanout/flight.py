"""One read of the newest event of each topic, shared by all readers that ask for it within a second.

It is read as fast as the stream answers, so that what it costs there (a consumer) is given back soon, and kept for as
long as somebody needs it, within a bound. A reader that falls behind that bound is put off the flight: nobody waits
for it.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Final

from slipstream.fanout.slots import Slot
from slipstream.protocol.errors import Code, SlipstreamError
from slipstream.protocol.event import Record

WINDOW_SECONDS: Final = 1.0
"""How long after its beginning a flight takes in readers: they get a past so old, and then all that followed."""

FLIGHT_BYTES: Final = 16 * 1024 * 1024
"""What a flight keeps, by `Record.size`, and one list more: 10,000 topics of 300 bytes are about half of it."""

PATIENCE_SECONDS: Final = 1.0
"""How long a full flight waits for its foremost reader before it gives its consumer back."""

SLOT_SECONDS: Final = 10.0
"""How long a flight waits for its turn to read."""


class PutOff(Exception):
    """The flight does not have the reader's next list (any more): it has to take another one."""


class Flight:
    """See the module. `batches` are ascending by sequence, in and across lists.

    `head`: the newest event this pod knew of before the read began: whoever finds nothing goes on after it. `slots`
    bounds the reads of all flights. `changed()` is called when it keeps more, or may have become `idle`.
    """

    def __init__(
        self,
        name: str,
        batches: AsyncGenerator[list[Record], None],
        head: int,
        slots: Slot,
        changed: Callable[[], None],
    ) -> None:
        self.head = head
        self.bytes = 0
        self._open = True
        self._began = False
        self._over = False
        self._error: Exception | None = None
        self._batches = batches
        self._slots = slots
        self._changed = changed
        self._kept: deque[tuple[list[Record], int]] = deque()
        self._first = 0
        self._places: dict[object, int] = {}
        self._standing: Counter[int] = Counter()
        self._more = asyncio.Event()
        self._taken = asyncio.Event()
        self._task = asyncio.get_running_loop().create_task(self._run(), name=name)

    @property
    def idle(self) -> bool:
        """Whether nobody reads it, and nobody may come any more."""
        return not self._places and not self._open

    def takes(self, *, fresh: bool) -> bool:
        """Whether one more reader would get everything. `fresh`: only what is read from now on will do."""
        return self._open and not (fresh and self._began)

    def enter(self, reader: object) -> None:
        """One more reader begins with the first list."""
        self._stand(reader, self._first)

    def leave(self, reader: object) -> None:
        """It needs no more. A read that nobody needs is broken off."""
        self._unstand(reader)
        if not self._places and not self._over:
            self._open = False
            self._task.cancel()
        self._settle()
        self._changed()

    async def next(self, reader: object) -> list[Record] | None:
        """The reader's next list, None at the end. Raises PutOff, or what broke the read off."""
        while (number := self._places[reader]) == self._first + len(self._kept):
            if self._error is not None:
                raise self._error
            if self._over:
                return None
            await self._more.wait()
        if number < self._first:
            raise PutOff
        batch = self._kept[number - self._first][0]
        self._unstand(reader)
        self._stand(reader, number + 1)
        self._settle()
        return batch

    def drop(self) -> None:
        """Keep nothing: others need the memory. Whoever had not read it is put off."""
        self._open = False
        while self._kept:
            self._forget()

    async def _run(self) -> None:
        try:
            await self._acquire()
            try:
                await self._read()
            finally:
                self._slots.release()
        except Exception as error:  # noqa: BLE001 it is raised to every reader
            self._open = False
            self._error = error
        finally:
            self._over = True
            self._tell()

    async def _acquire(self) -> None:
        try:
            async with asyncio.timeout(SLOT_SECONDS):
                await self._slots.acquire()
        except TimeoutError as error:
            raise SlipstreamError(
                Code.OVERLOADED, "too many ask for the newest event of each topic at once", retry_after=2.0
            ) from error

    async def _read(self) -> None:
        self._began = True
        asyncio.get_running_loop().call_later(WINDOW_SECONDS, self._close)
        async with aclosing(self._batches) as batches:
            async for batch in batches:
                weight = sum(record.size for record in batch)
                self._kept.append((batch, weight))
                self.bytes += weight
                self._tell()
                if not await self._room():
                    raise PutOff

    async def _room(self) -> bool:
        """Make room for one more list; False when the foremost reader takes too long to do its part."""
        while self.bytes > FLIGHT_BYTES:
            self._open = False
            end = self._first + len(self._kept)
            if not self._standing[self._first] or self._standing[end]:
                # All have it, or somebody has everything and would wait for those who lag.
                self._forget()
                continue
            self._taken.clear()
            try:
                async with asyncio.timeout(PATIENCE_SECONDS):
                    await self._taken.wait()
            except TimeoutError:
                return False
        return True

    def _close(self) -> None:
        """Nobody comes any more: what all have read is not needed."""
        self._open = False
        self._settle()
        self._changed()

    def _settle(self) -> None:
        self._taken.set()
        while not self._open and self._kept and not self._standing[self._first]:
            self._forget()

    def _forget(self) -> None:
        self.bytes -= self._kept.popleft()[1]
        self._standing.pop(self._first, None)
        self._first += 1

    def _stand(self, reader: object, number: int) -> None:
        self._places[reader] = number
        self._standing[number] += 1

    def _unstand(self, reader: object) -> None:
        number = self._places.pop(reader)
        if number >= self._first:
            self._standing[number] -= 1
            if not self._standing[number]:
                del self._standing[number]

    def _tell(self) -> None:
        self._more.set()
        self._more = asyncio.Event()
        self._changed()
