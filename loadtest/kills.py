"""The kill schedule of a scenario, carried out on a running stack."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from loadtest.restartable import Restartable
from loadtest.scenario import Kill
from loadtest.servers import Stack

_KILL_SECONDS: Final = 10.0
_TERM_SECONDS: Final = 90.0
"""An edge that drains takes its drain window, 60 s by default."""


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that was done to a server. at: seconds on the clock of the run."""

    at: float
    text: str


Noted = Callable[[str], None]
"""Is told what was done, at once."""


async def carry_out(kills: Sequence[Kill], servers: Stack, noted: Noted) -> None:
    """All kills at their times from now on; returns when the last victim serves again.

    Raises ChildFailed when one does not end, or does not come back.
    """
    began = time.monotonic()
    launching = asyncio.Lock()  # A child gets its cores from this process, which stands on one set at a time.
    tasks = [
        asyncio.create_task(_carry_out(kill, servers, began, launching, noted), name=f"kill {kill.victim}")
        for kill in kills
    ]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()


async def _carry_out(kill: Kill, servers: Stack, began: float, launching: asyncio.Lock, noted: Noted) -> None:
    victim: Restartable = servers.nats if kill.what == "nats" else servers.pods[kill.pod].server
    await asyncio.sleep(began + kill.at - time.monotonic())
    if kill.what == "edge":
        noted(f"{kill.victim}: SIGKILL")
        await victim.end(signal.SIGKILL, _KILL_SECONDS)
    else:
        noted(f"{kill.victim}: SIGTERM")
        await victim.end(signal.SIGTERM, _TERM_SECONDS)
    await asyncio.sleep(began + kill.at + kill.back - time.monotonic())
    async with launching:
        await victim.launch()
    await victim.serving()
    noted(f"{kill.victim}: back")
