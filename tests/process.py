"""A child process that tests kill, freeze and start again; see `tests.servers` for the servers themselves.

Processes are plain `subprocess.Popen` objects and not bound to an event loop, so a session-wide fixture may use them
from several loops. No wait is without a deadline.
"""

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

START_SECONDS = 20.0
STOP_SECONDS = 10.0
POLL_SECONDS = 0.02
LOG_TAIL_BYTES = 4000


class ServerError(Exception):
    """A server did not start, stop or answer in time; the message ends with the tail of its log."""


async def wait_until(condition: Callable[[], Awaitable[bool]], *, seconds: float, what: str) -> None:
    """Poll `condition` until it is true. Raises TimeoutError naming `what` after `seconds`."""
    deadline = time.monotonic() + seconds
    while not await condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {seconds:g} s")
        await asyncio.sleep(POLL_SECONDS)


class ServerProcess:
    """One child process that can be killed and started again with the same arguments.

    `log` collects stdout and stderr of all its lives.
    """

    def __init__(self, name: str, argv: list[str], log: Path, env: Mapping[str, str] | None = None) -> None:
        self.name = name
        self.argv = argv
        self.log = log
        self.env = dict(os.environ if env is None else env)
        self.starts = 0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process id. Raises ServerError when it does not run."""
        if self._process is None:
            raise ServerError(f"{self.name} is not running")
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether the process runs (stopped by SIGSTOP counts as running)."""
        return self._process is not None and self._process.poll() is None

    async def is_ready(self) -> bool:
        """Whether it serves; asked repeatedly by `start`. A plain process is ready when it runs."""
        return self.alive

    async def start(self, *, seconds: float = START_SECONDS) -> None:
        """Start and wait until ready. Raises ServerError when it ends early or is not ready in time."""
        self.spawn()
        await self.wait_ready(seconds=seconds)

    def spawn(self) -> None:
        """Start without waiting for readiness. Raises ServerError when it runs already."""
        if self.alive:
            raise ServerError(f"{self.name} runs already (pid {self.pid})")
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self.argv, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, env=self.env
            )
        self.starts += 1

    async def wait_ready(self, *, seconds: float = START_SECONDS) -> None:
        """Wait until `is_ready`. Raises ServerError when the process ended or `seconds` have passed."""

        async def ready_or_dead() -> bool:
            return not self.alive or await self.is_ready()

        try:
            await wait_until(ready_or_dead, seconds=seconds, what=f"{self.name} ready")
        except TimeoutError as error:
            raise self.failure(f"not ready after {seconds:g} s") from error
        if not self.alive:
            raise self.failure(f"ended with status {self.returncode} before it was ready")

    @property
    def returncode(self) -> int | None:
        """Exit status of the last life: negative for a signal, None while running or never started."""
        return None if self._process is None else self._process.poll()

    async def kill(self) -> None:
        """SIGKILL, as a node failure or the OOM killer would; returns when the process is gone."""
        self._signal(signal.SIGKILL)
        await self.wait_gone()

    async def terminate(self, *, seconds: float = STOP_SECONDS) -> int:
        """SIGTERM and wait; returns the exit status.

        Raises ServerError, after a SIGKILL, when it is still there after `seconds`.
        """
        self._signal(signal.SIGTERM)
        self._signal(signal.SIGCONT)
        return await self.wait_gone(seconds=seconds)

    async def wait_gone(self, *, seconds: float = STOP_SECONDS) -> int:
        """Wait for the end and return the exit status; see `terminate` for a process that stays."""
        process = self._process
        if process is None:
            raise ServerError(f"{self.name} was never started")
        try:
            return await asyncio.to_thread(process.wait, seconds)
        except subprocess.TimeoutExpired as error:
            process.kill()
            process.wait(STOP_SECONDS)
            raise self.failure(f"still running {seconds:g} s after it was to end") from error

    def pause(self) -> None:
        """SIGSTOP: the process keeps its connections and answers nothing, like a frozen host."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        self._signal(signal.SIGCONT)

    def log_tail(self) -> str:
        """The last 4,000 bytes of the log as text."""
        if not self.log.exists():
            return "(no log)"
        return self.log.read_bytes()[-LOG_TAIL_BYTES:].decode(errors="replace")

    def failure(self, what: str) -> ServerError:
        """An error that names the server and ends with its log."""
        return ServerError(f"{self.name} {what}; its log {self.log} ends with:\n{self.log_tail()}")

    def _signal(self, number: signal.Signals) -> None:
        if self.alive and self._process is not None:
            self._process.send_signal(number)

    async def __aenter__(self) -> Self:
        try:
            await self.start()
        except BaseException:
            if self.alive:
                await self.kill()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.alive:
            await self.kill()
        if error is not None:
            error.add_note(f"{self.name}: log {self.log} ends with:\n{self.log_tail()}")
