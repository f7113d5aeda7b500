"""Many events in flight at once, in their order, until all are acknowledged or the first one fails."""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass

from slipstream.log.store import Outcome, Store, Stored
from slipstream.protocol.errors import Code, SlipstreamError
from slipstream.protocol.publication import Publication


class LineFailed(Exception):
    """The event of a line was not stored. number: of the line, from 1. cause: why."""

    def __init__(self, number: int, cause: SlipstreamError) -> None:
        super().__init__(f"line {number}: {cause.message}")
        self.number = number
        self.cause = cause


@dataclass(slots=True)
class Tally:
    """What was acknowledged so far. bytes: of the events' lines. last: the newest place in the log."""

    stored: int = 0
    duplicates: int = 0
    bytes: int = 0
    began: float = 0.0
    last: Stored | None = None

    @property
    def seconds(self) -> float:
        """Since the sending began."""
        return time.monotonic() - self.began if self.began else 0.0

    def add(self, answer: Stored, size: int) -> None:
        """One more acknowledgement."""
        self.stored += 1
        self.duplicates += answer.duplicate
        self.bytes += size
        if self.last is None or answer.seq > self.last.seq:
            self.last = answer


class Sender:
    """Publishes lines to one tenant. `tally` is up to date at any moment, after a failure too."""

    def __init__(self, store: Store, tenant: str, parse: Callable[[bytes], Publication]) -> None:
        """parse: a line's event; raises SlipstreamError for a line that is none."""
        self.tally = Tally()
        self._store = store
        self._tenant = tenant
        self._parse = parse
        self._failures: list[LineFailed] = []
        self._over = asyncio.Event()

    async def send(self, lines: AsyncGenerator[bytes]) -> None:
        """Publish all lines, skipping empty ones; returns when every event is acknowledged.

        Raises LineFailed for the first line that cannot be read, is wrong or was not stored; no more are read then, and
        what is in flight is waited for first. Cancelled, it gives up what is in flight.
        """
        self.tally.began = time.monotonic()
        async with asyncio.TaskGroup() as group:
            reading = group.create_task(self._read(lines, group), name="publish-read")
            reading.add_done_callback(lambda _: self._over.set())
            await self._over.wait()
            reading.cancel()
        if self._failures:
            raise min(self._failures, key=lambda one: one.number)

    async def _read(self, lines: AsyncGenerator[bytes], group: asyncio.TaskGroup) -> None:
        number = 0
        async with contextlib.aclosing(lines):
            try:
                async for line in lines:
                    number += 1
                    if line.strip():
                        await self._launch(number, self._parse(line), len(line), group)
            except (OSError, ValueError) as error:
                self._fail(number + 1, SlipstreamError(Code.BAD_REQUEST, f"it cannot be read: {error}"))
            except SlipstreamError as error:
                self._fail(number, error)

    async def _launch(self, number: int, event: Publication, size: int, group: asyncio.TaskGroup) -> None:
        # The store bounds what is in flight: it is the sending that waits for room, and keeps the order.
        sent = await self._store.send(self._tenant, event)
        group.create_task(self._settle(number, sent, size), name=f"publish-{number}")

    async def _settle(self, number: int, sent: Awaitable[Outcome], size: int) -> None:
        outcome = await sent
        if isinstance(outcome, SlipstreamError):
            self._fail(number, outcome)
        else:
            self.tally.add(outcome, size)

    def _fail(self, number: int, error: SlipstreamError) -> None:
        self._failures.append(LineFailed(number, error))
        self._over.set()
