"""One life of a tenant's child process: started, handed its plan, spoken to, ended. Decides nothing.

The loop's own `subprocess_exec` is not used: uvloop's forks, which copies the page tables of an edge and stands still
until the child has become another program, 80 to 100 ms with 500 MB (measured); CPython's Popen uses vfork.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from typing import IO, Final, cast

from slipstream.hooks.wire import Frame, Frames, Garbage, Plan, pack
from slipstream.shape.event import SecretMissing

_logger = logging.getLogger(__name__)

_START_SECONDS: Final = 10.0
_END_SECONDS: Final = 2.0
_REST_SECONDS: Final = 0.5

_COMMAND: Final = (sys.executable, "-P", "-m", "slipstream.hooks.worker")
"""-P: nothing is imported from the folder that the edge happens to stand in."""

_INHERITED: Final = (
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "LD_LIBRARY_PATH",
    "PATH",
    "PYTHONHOME",
    "PYTHONPATH",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
    "TMPDIR",
    "TZ",
    "VIRTUAL_ENV",
)
"""All that a child gets of the edge's environment, which has passwords in it (SLIPSTREAM_*, OTEL_*)."""

_SECRET_NAME: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,62}[A-Za-z0-9])?")
"""As in a tenant document (`tenants.shaping`)."""

_SAID_BYTES: Final = 2_048
_SAID_LINES: Final = 10
_SAID_PAUSE: Final = 0.2
"""Standard error is read five times a second, what the pipe holds each time, and logged in part: a hook that prints
without end waits in its own print."""

Take = Callable[[Frame], None]
"""Takes an answer. Raises Garbage for one that is none."""

Secret = Callable[[str], bytes]
"""The bytes of one of the tenant's secrets by its name. Raises SecretMissing."""


class CannotStart(Exception):
    """There is no child that has made its chain; the message says why."""


class _Pipe(asyncio.Protocol):
    """One of the child's pipes. Hears of its end, and of what comes out of it."""

    def __init__(self, ended: Callable[[], None], hear: Callable[[bytes], None] | None = None) -> None:
        self.transport: asyncio.BaseTransport | None = None
        self.lost = asyncio.Event()
        self._ended = ended
        self._hear = hear

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        if self._hear is not None:
            self._hear(data)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self.lost.set()
        self._ended()


class Child:
    """A process of its own session. `take` is called for each answer, `secret` for what its hooks want to know.

    gone: set when it has ended, and all that it had answered was taken. garbage: what it said that was no answer.
    """

    def __init__(self, plan: Plan, secret: Secret, take: Take) -> None:
        self.gone = asyncio.Event()
        self.garbage: str | None = None
        self._plan = plan
        self._secret = secret
        self._take = take
        self._frames = Frames(plan.event_bytes)
        self._answering = True
        self._exited = False
        self._killed = False
        self._ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._process: subprocess.Popen[bytes] | None = None
        self._joining: asyncio.Task[None] | None = None
        self._requests = _Pipe(lambda: None)
        self._answers = _Pipe(self._silent, self._receive)
        self._said = _Pipe(lambda: None, self._say)

    @property
    def pid(self) -> int | None:
        """Its process id, None before `start`."""
        return None if self._process is None else self._process.pid

    async def start(self) -> None:
        """Start it and wait until its chain is made. Raises CannotStart. Whatever happens, `end` must follow."""
        try:
            async with asyncio.timeout(_START_SECONDS):
                await self._spawn()
                self.send(self._plan.pack())
                await self._ready
        except TimeoutError as error:
            raise CannotStart(f"its chain was not made within {_START_SECONDS:g} s") from error
        except OSError as error:
            raise CannotStart(str(error)) from error

    async def _spawn(self) -> None:
        loop = asyncio.get_running_loop()
        pipe = subprocess.PIPE
        process = subprocess.Popen(  # noqa: ASYNC220 - some ms; see the module
            _COMMAND,
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            bufsize=0,
            env=environment(os.environ),
            start_new_session=True,
        )
        self._process = process
        descriptor = os.pidfd_open(process.pid)
        loop.add_reader(descriptor, self._exit, process, descriptor)
        # Not broken off half-way: uvloop then closes the descriptor behind the file's back, and whoever has its number
        # next, a client's connection, would be closed with the file.
        self._joining = asyncio.create_task(self._join(process), name=f"pipes-{process.pid}")
        await asyncio.shield(self._joining)

    async def _join(self, process: subprocess.Popen[bytes]) -> None:
        """Give the pipes to the loop: some turns of it, and nobody has to answer."""
        loop = asyncio.get_running_loop()
        await loop.connect_write_pipe(lambda: self._requests, process.stdin)
        await loop.connect_read_pipe(lambda: self._answers, process.stdout)
        await loop.connect_read_pipe(lambda: self._said, process.stderr)

    def send(self, frame: bytes) -> None:
        """Hand a frame over. How much may be under way is for the caller to bound."""
        transport = cast("asyncio.WriteTransport | None", self._requests.transport)
        if transport is not None and not transport.is_closing():
            transport.write(frame)

    def kill(self) -> None:
        """SIGKILL to it and to what it has started; from now on it is not listened to.

        `gone` is set when it has ended.
        """
        self._killed = True
        if not self._exited:
            self._kill_group()

    async def end(self) -> None:
        """Kill it, wait until it is reaped (2 s at most, which only a process that the kernel holds needs), close."""
        if not self._ready.cancel() and not self._ready.cancelled():
            # Whoever was to hear of it may be gone, and asyncio complains of what nobody has heard.
            self._ready.exception()
        self.kill()
        reaping = asyncio.create_task(self._reap(), name=f"reap-{self.pid}")
        cancelled = False
        while not reaping.done():
            try:
                await asyncio.shield(reaping)
            except asyncio.CancelledError:
                # A supervisor that stops asks more than once, and each time would leave a process behind.
                cancelled = True
        if cancelled:
            raise asyncio.CancelledError

    async def _reap(self) -> None:
        process = self._process
        if process is None:
            return
        try:
            async with asyncio.timeout(_END_SECONDS):
                if self._joining is not None:
                    await asyncio.wait({self._joining})
                await self.gone.wait()
                for pipe in (self._requests, self._answers, self._said):
                    if pipe.transport is not None:
                        pipe.transport.close()
                        await pipe.lost.wait()
        except TimeoutError:
            _logger.error("child %d of tenant %s cannot be killed", process.pid, self._plan.tenant)
        finally:
            for file in (process.stdin, process.stdout, process.stderr):
                # Open still where the loop could not take it.
                cast("IO[bytes]", file).close()

    # -- from the loop -----------------------------------------------------------------------------------------------

    def _exit(self, process: subprocess.Popen[bytes], descriptor: int) -> None:
        """It has ended. What it has answered before may still lie in the pipe."""
        asyncio.get_running_loop().remove_reader(descriptor)
        os.close(descriptor)
        # Before it is reaped: until then its number is that of its group, whoever is left in that.
        self._kill_group()
        process.wait()
        self._exited = True
        if self._answering and self._answers.transport is not None:
            asyncio.get_running_loop().call_later(_REST_SECONDS, self._finish)
        else:
            self._finish()

    def _silent(self) -> None:
        self._answering = False
        if self._exited:
            self._finish()

    def _finish(self) -> None:
        self.gone.set()
        if not self._ready.done():
            self._ready.set_exception(CannotStart("it ended before its chain was made"))

    def _kill_group(self) -> None:
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):  # It ended this very moment: that is what we want.
                os.killpg(self._process.pid, signal.SIGKILL)

    def _receive(self, data: bytes) -> None:
        try:
            for frame in self._frames.feed(data):
                # An answer that comes after all would have the event blamed that follows it.
                if not self._killed:
                    self._accept(frame)
        except Garbage as garbage:
            self.garbage = str(garbage)
            self.kill()

    def _accept(self, frame: Frame) -> None:
        if self._ready.done():
            self._take(frame)
            return
        match frame.head:
            case ["secret", str(name)]:
                self.send(self._secret_frame(name))
            case ["ready"]:
                self._ready.set_result(None)
            case ["fault", str(message)]:
                self._ready.set_exception(CannotStart(message if message.isprintable() else repr(message)))
            case _:
                raise Garbage("it did not begin with ready")

    def _secret_frame(self, name: str) -> bytes:
        if _SECRET_NAME.fullmatch(name) is None:
            # It is a hook that asks, not the tenant document: a path would lead to other tenants' secrets.
            return pack(["missing", "a secret's name has 1 to 64 characters of A-Z a-z 0-9 . _ - and no others"])
        try:
            return pack(["secret"], self._secret(name))
        except SecretMissing as error:
            return pack(["missing", str(error)])

    def _say(self, data: bytes) -> None:
        for line in data[:_SAID_BYTES].decode("utf-8", "replace").splitlines()[:_SAID_LINES]:
            text = line if line.isprintable() else repr(line)
            _logger.warning("the hooks of tenant %s say: %s", self._plan.tenant, text)
        pipe = cast("asyncio.ReadTransport", self._said.transport)
        pipe.pause_reading()
        asyncio.get_running_loop().call_later(_SAID_PAUSE, _resume, pipe)


def environment(edge: Mapping[str, str]) -> dict[str, str]:
    """What a child gets of the edge's environment."""
    return {name: edge[name] for name in _INHERITED if name in edge} | {"PYTHONDONTWRITEBYTECODE": "1"}


def _resume(pipe: asyncio.ReadTransport) -> None:
    if not pipe.is_closing():
        pipe.resume_reading()
