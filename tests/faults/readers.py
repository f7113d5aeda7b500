"""A reader of a run: that of the proof, with a pulse."""

import asyncio
from collections.abc import Sequence
from typing import ClassVar

from tests.faults.pulse import Pulse
from tests.proof.book import Book
from tests.proof.checker import Delivery
from tests.proof.plan import ReaderPlan
from tests.proof.reader import Reader, Tally
from tests.sse import Parsed

EVERYTHING = (">",)


class WatchedReader(Reader):
    """A reader that keeps the time of what it gets, and as a browser waits as long as the server asked.

    kind: how it reads, in a word. pulse: None where it does not want everything, and so cannot tell a pause from quiet,
    or makes pauses by itself.
    """

    polls: ClassVar[bool] = False

    def __init__(
        self,
        plan: ReaderPlan,
        ports: Sequence[int],
        book: Book,
        tally: Tally,
        texts: dict[str, str],
        seed: int,
        *,
        first: int,
    ) -> None:
        super().__init__(plan, ports, book, tally, texts, seed)
        self.kind = "poll" if self.polls else _kind(plan)
        self._turn = first
        self.cutting = plan.filters != EVERYTHING
        self.pulse = None if self.cutting or plan.slow or self.polls else Pulse(plan.name)
        self._retry_ms: int | None = None
        self._why = ""

    @property
    def port(self) -> int:
        """Where it reads, or tries to."""
        return self._ports[self._turn % len(self._ports)]

    def _take(self, event: Parsed) -> bool:
        before = len(self.history.items)
        goes_on = super()._take(event)
        if event.retry is not None:
            self._retry_ms = event.retry
        if not goes_on:
            self._why = f"{event.event} {event.data}"
        if self.pulse and len(self.history.items) > before and isinstance(self.history.items[-1], Delivery):
            self.pulse.beat(asyncio.get_running_loop().time())
        return goes_on

    async def _connection(self, port: int) -> None:
        self._why = "it ended"
        try:
            await super()._connection(port)
        except (OSError, TimeoutError, EOFError) as error:
            self._why = str(error) or type(error).__name__
            raise

    async def _wait(self) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        if self.plan.browser and self._retry_ms is not None:
            await asyncio.sleep(self._retry_ms / 1000)
        else:
            await super()._wait()
        if self.pulse is not None:
            self.pulse.waited(loop.time() - began, self._why)


def _kind(plan: ReaderPlan) -> str:
    if plan.since == "last":
        return "last"
    return "slow" if plan.slow else "gzip" if plan.gzip else "browser" if plan.browser else "plain"
