"""A server that can be ended and started again within a run, on the same ports and files."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

from loadtest.child import Child, ChildFailed, child

_START_SECONDS: Final = 30.0


class Restartable:
    """A server that is there or away; it is there once `serves` says so.

    Launch one at a time: a child gets its cores from its parent, who stands on one set of them at a time.
    """

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        *,
        folder: Path,
        cores: frozenset[int],
        serves: Callable[[], Awaitable[bool]],
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self._argv = argv
        self._folder = folder
        self._cores = cores
        self._serves = serves
        self._env = env
        self._process: Child | None = None
        self._running = AsyncExitStack()

    @property
    def pid(self) -> int:
        """Its process id, also of one that has ended meanwhile. Raises ChildFailed when it was not started."""
        if self._process is None:
            raise ChildFailed(f"{self.name} was not started")
        return self._process.pid

    async def launch(self) -> Child:
        """Start the process, anew when there was one before; it does not serve yet."""
        await self._running.aclose()
        starting = child(self.name, self._argv, folder=self._folder, cores=self._cores, env=self._env)
        self._process = await self._running.enter_async_context(starting)
        return self._process

    async def serving(self) -> None:
        """Wait until it serves. Raises ChildFailed, with its log, when it does not within 30 s, or was not started."""
        if self._process is None:
            raise ChildFailed(f"{self.name} was not started")
        await self._process.serving(self._serves, _START_SECONDS)

    async def end(self, how: signal.Signals, seconds: float) -> None:
        """Send the signal and wait for the end. Raises ChildFailed when it is still there after `seconds`."""
        if self._process is None or self._process.process.returncode is not None:
            raise ChildFailed(f"{self.name} cannot be ended: it is away already")
        self._process.process.send_signal(how)
        try:
            await self._process.ended(seconds)
        except TimeoutError as error:
            raise self._process.failure(f"still runs {seconds:g} s after {how.name}") from error

    async def close(self) -> None:
        """Stop it, if it runs."""
        await self._running.aclose()


@asynccontextmanager
async def started(server: Restartable) -> AsyncIterator[Restartable]:
    """The server, running; gone when the block ends, whatever was done to it."""
    try:
        await server.launch()
        await server.serving()
        yield server
    finally:
        await server.close()
