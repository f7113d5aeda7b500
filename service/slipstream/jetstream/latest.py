"""One question for many who ask it at the same time, where an answer must be younger than the question."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from slipstream.resilience.abandoned import abandoned

V = TypeVar("V")


class Latest(Generic[V]):
    """At most one `ask()` is under way; whoever asks meanwhile shares the next one.

    Thousands of clients that come back at once ask for the state of one stream: that takes a few requests.
    """

    def __init__(self, name: str, ask: Callable[[], Awaitable[V]]) -> None:
        self._name = name
        self._ask = ask
        self._flying: asyncio.Task[V] | None = None
        self._next: asyncio.Task[V] | None = None

    async def get(self) -> V:
        """An answer to a question that was put after this call began. Raises what `ask` raises."""
        if self._next is None:
            self._next = asyncio.create_task(self._fly(self._flying), name=self._name)
            self._next.add_done_callback(abandoned)
        return await asyncio.shield(self._next)

    async def _fly(self, before: asyncio.Task[V] | None) -> V:
        if before is not None:
            await asyncio.wait({before})
        self._flying, self._next = self._next, None
        return await self._ask()
