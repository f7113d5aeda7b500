"""One share and those who wait for it."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress

from slipstream.protocol.errors import Code, SlipstreamError
from slipstream.quotas.share import FULL_SECONDS, Admitted, AskFor, Refused, Share


class Account:
    """What one process has to do with one key; `len` is how many wait, in the order in which they came.

    changed: set when the document may be another. tidy: the next plan gives back what lies idle.
    """

    __slots__ = ("_turns", "changed", "share", "task", "tidy")

    def __init__(self, process: str, limit: int | None) -> None:
        self.share = Share(process, limit)
        self._turns: deque[asyncio.Future[None]] = deque()
        self.changed = asyncio.Event()
        self.task: asyncio.Task[None] | None = None
        self.tidy = False

    def __len__(self) -> int:
        return len(self._turns)

    @property
    def idle(self) -> bool:
        """Whether it can be forgotten."""
        return self.share.empty and self.task is None and not self._turns

    def queue(self) -> asyncio.Future[None]:
        """Wait for admission; what refuses it is raised."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._turns.append(turn)
        return turn

    def settle(self, now: float, *, holds: bool) -> int:
        """Admit those who wait as far as the share goes; how many."""
        count = 0
        while self._turns and isinstance(self.share.admit(now, holds=holds), Admitted):
            turn = self._turns.popleft()
            if turn.done():
                # Cancelled in this very moment.
                self.share.release()
            else:
                turn.set_result(None)
                count += 1
        return count

    def forget(self, turn: asyncio.Future[None]) -> None:
        """Whoever waited here waits no more."""
        with suppress(ValueError):  # it had its answer
            self._turns.remove(turn)

    def refuse(self, error: SlipstreamError) -> None:
        """Refuse all who wait."""
        while self._turns:
            turn = self._turns.popleft()
            if not turn.done():
                turn.set_exception(
                    SlipstreamError(error.code, error.message, status=error.status, retry_after=error.retry_after)
                )

    async def change(self, seconds: float) -> None:
        """Wait until `changed`, at most so long."""
        # Not wait_for, which Python 3.11 lets swallow a cancellation that comes together with the event.
        try:
            async with asyncio.timeout(seconds):
                await self.changed.wait()
        except TimeoutError:
            return


def refusal(limit: int | None, decision: Refused | AskFor) -> SlipstreamError:
    """The quota is used up."""
    after = decision.retry_after if isinstance(decision, Refused) else FULL_SECONDS
    return SlipstreamError(Code.QUOTA_EXCEEDED, f"all {limit} connections of this quota are in use", retry_after=after)
