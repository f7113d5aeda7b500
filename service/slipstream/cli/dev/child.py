"""One child process: started with its output in a file, asked until it serves, ended within a deadline."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

from slipstream.cli.dev.faults import DevError
from slipstream.cli.dev.folder import Folder

_ASK_SECONDS: Final = 0.05
_TAIL_BYTES: Final = 8_192
_TAIL_LINES: Final = 12


class Child:
    """A program that can be started again with the same arguments. name: as people see it."""

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        serves: Callable[[], Awaitable[bool]],
        folder: Folder,
        env: Mapping[str, str] | None = None,
    ) -> None:
        """serves: asked again and again after a start, until it says yes. env: this process's own if None."""
        self.name = name
        self.log = folder.logs / f"{name}.log"
        self.starts = 0
        self._argv = list(argv)
        self._serves = serves
        self._folder = folder
        self._env = dict(os.environ if env is None else env)
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int:
        """The process id of its newest life; 0 before the first."""
        return 0 if self._process is None else self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._process is not None and self._process.returncode is None

    async def start(self) -> None:
        """Start the program; its first life begins a new log. Raises DevError when there is no such program."""
        try:
            with self.log.open("ab" if self.starts else "wb") as log:
                # A session of its own: the terminal's Ctrl-C would end servers before their clients were told.
                self._process = await asyncio.create_subprocess_exec(
                    *self._argv,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=log,
                    stderr=asyncio.subprocess.STDOUT,
                    env=self._env,
                    start_new_session=True,
                    pass_fds=(self._folder.lock,),
                )
        except OSError as error:
            raise DevError(f"{self.name} cannot be started: {error}") from error
        self.starts += 1
        self._folder.note(self.name, self.pid)

    async def wait_ready(self, seconds: float) -> None:
        """Return when it serves. Raises DevError, with the end of its log, when it ended or `seconds` have passed."""
        try:
            async with asyncio.timeout(seconds):
                while not await self._serves():
                    if not self.alive:
                        raise DevError(f"{self.name} {ending(await self.wait())} before it served", self.last_lines())
                    await asyncio.sleep(_ASK_SECONDS)
        except TimeoutError as error:
            raise DevError(f"{self.name} does not serve after {seconds:g} s", self.last_lines()) from error

    async def wait(self) -> int:
        """The exit status of its end: negative for a signal."""
        return 0 if self._process is None else await self._process.wait()

    async def stop(self, seconds: float) -> None:
        """End it: SIGTERM, and SIGKILL when it is still there after `seconds`."""
        self._signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(seconds):
                await self.wait()
        except TimeoutError:
            self.kill()
            await self.wait()

    def kill(self) -> None:
        """SIGKILL."""
        self._signal(signal.SIGKILL)

    def last_lines(self) -> list[str]:
        """The last lines of its log, at most 12."""
        try:
            with self.log.open("rb") as log:
                log.seek(max(0, log.seek(0, os.SEEK_END) - _TAIL_BYTES))
                text = log.read().decode(errors="replace")
        except OSError as error:
            return [f"(its log cannot be read: {error})"]
        return text.splitlines()[-_TAIL_LINES:]

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self.alive:
            with contextlib.suppress(ProcessLookupError):  # It ended this very moment: that is what we want.
                self._process.send_signal(number)


def ending(status: int) -> str:
    """An exit status in words."""
    if status >= 0:
        return f"ended with status {status}"
    try:
        return f"was killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"was killed by signal {-status}"
