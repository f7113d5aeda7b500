"""Child processes: started on given cores, with their output in a file, and gone within a deadline."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final

_LINE_MAX: Final = 1024 * 1024
_STOP_SECONDS: Final = 10.0
_ASK_SECONDS: Final = 0.05
_TAIL_BYTES: Final = 4000


class ChildFailed(Exception):
    """A child did not start, answer or end in time; the message ends with what it wrote last."""


class Child:
    """A running child. Its standard error, and unless they are pipes its other streams, go to `log`."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, log: Path) -> None:
        self.name = name
        self.process = process
        self.log = log

    @property
    def pid(self) -> int:
        """The process id."""
        return self.process.pid

    async def serving(self, serves: Callable[[], Awaitable[bool]], seconds: float) -> None:
        """Ask `serves` again and again, until it says yes. Raises ChildFailed when the child ended or is late."""
        try:
            async with asyncio.timeout(seconds):
                while not await serves():
                    if self.process.returncode is not None:
                        raise self.failure(f"ended with status {self.process.returncode} before it served")
                    await asyncio.sleep(_ASK_SECONDS)
        except TimeoutError as error:
            raise self.failure(f"does not serve after {seconds:g} s") from error

    async def ended(self, seconds: float) -> int:
        """Its exit status. Raises TimeoutError when it still runs after `seconds`."""
        async with asyncio.timeout(seconds):
            return await self.process.wait()

    def failure(self, what: str) -> ChildFailed:
        """An error that names the child and ends with its log."""
        tail = self.log.read_bytes()[-_TAIL_BYTES:].decode(errors="replace")
        return ChildFailed(f"{self.name} {what}; it wrote last:\n{tail}")

    async def stop(self) -> None:
        """SIGTERM, and SIGKILL when it is still there after 10 s."""
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            await self.ended(_STOP_SECONDS)
        except TimeoutError:
            self.process.kill()
            await self.ended(_STOP_SECONDS)


@asynccontextmanager
async def child(
    name: str,
    argv: Sequence[str],
    *,
    folder: Path,
    cores: frozenset[int],
    env: Mapping[str, str] | None = None,
    pipes: bool = False,
) -> AsyncIterator[Child]:
    """A child that is gone when the block ends. pipes: stdin and stdout are ours, not the log's."""
    log = folder / f"{name}.log"
    with log.open("ab") as out, _affinity(cores):
        process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.PIPE if pipes else asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE if pipes else out,
            stderr=out,
            env=env,
            limit=_LINE_MAX,
            start_new_session=True,  # The terminal's Ctrl-C is for the bench, which then stops its children in order.
        )
    started = Child(name, process, log)
    try:
        yield started
    finally:
        await started.stop()


@contextmanager
def _affinity(cores: frozenset[int]) -> Iterator[None]:
    """What is started within the block runs on these cores from its first instruction: Go counts them only once."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
