"""Reads of the log that are under way, of all tenants: few, and each tenant its part of them."""

from __future__ import annotations

import asyncio
from typing import Final

from slipstream.quotas.turns import Moves, Turns

_TOGETHER: Final = 2
"""All may have so many times what one may: what one cannot use at once is there for the others."""


class Slots:
    """`each`: how many a tenant may have. A read is not broken off for another one: it has deadlines of its own."""

    def __init__(self, each: int) -> None:
        self._turns: Turns[asyncio.Future[None]] = Turns(_TOGETHER * each, each, cutting=False)

    def of(self, holder: object) -> Slot:
        """Those of one tenant."""
        return Slot(self._turns, holder)


class Slot:
    """One tenant's way to a slot; used like a semaphore, and for several at once."""

    def __init__(self, turns: Turns[asyncio.Future[None]], holder: object) -> None:
        self._turns = turns
        self._holder = holder
        self._taken: list[asyncio.Future[None]] = []

    async def acquire(self) -> None:
        """Wait for one; it has to be released."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        _tell(self._turns.ask(self._holder, turn))
        try:
            await turn
        except BaseException:
            _tell(self._turns.leave(self._holder, turn))
            raise
        self._taken.append(turn)

    def release(self) -> None:
        """One that was acquired is free."""
        _tell(self._turns.leave(self._holder, self._taken.pop()))

    async def __aenter__(self) -> None:
        await self.acquire()

    async def __aexit__(self, *_: object) -> None:
        self.release()


def _tell(moves: Moves[asyncio.Future[None]]) -> None:
    for turn in moves.let_in:
        # One that was given up at this moment leaves next.
        if not turn.done():
            turn.set_result(None)
