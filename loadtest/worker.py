"""The parent's side of a reader or publisher process: commands out, reports in."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Final, Generic, TypeVar

import orjson

from loadtest import producer, publisher, readers, roamer
from loadtest.child import Child, child
from loadtest.roamed import ProducerReport, RoamReport, producer_report, roam_report
from loadtest.tally import PublisherReport, ReaderReport, publisher_report, reader_report

_ANSWER_SECONDS: Final = 15.0

R = TypeVar("R", ReaderReport, PublisherReport, RoamReport, ProducerReport)


class Worker(Generic[R]):
    """A process that reports every second, and when it is asked."""

    def __init__(self, process: Child, parse: Callable[[bytes], R]) -> None:
        self._child = process
        self._parse: Callable[[bytes], R] = parse
        self._news = asyncio.Condition()
        self._asking = asyncio.Lock()
        self._answers = 0
        self._over = False
        self._latest: R | None = None
        self._answer: R | None = None

    @property
    def pid(self) -> int:
        """The process id."""
        return self._child.pid

    @property
    def latest(self) -> R | None:
        """The newest report; None before the first."""
        return self._latest

    async def read(self) -> None:
        """Take in reports until the process ends."""
        stdout = self._child.process.stdout
        try:
            while stdout is not None and (line := await stdout.readline()):
                report = self._parse(line)
                async with self._news:
                    self._latest = report
                    if report.asked:
                        self._answer = report
                        self._answers += 1
                    self._news.notify_all()
        finally:
            async with self._news:
                self._over = True
                self._news.notify_all()

    async def command(self, text: str) -> None:
        """Send one command. Raises ChildFailed when the process is gone."""
        stdin = self._child.process.stdin
        try:
            if stdin is not None:
                stdin.write(f"{text}\n".encode())
                await stdin.drain()
        except ConnectionError as error:
            raise self._child.failure("is gone") from error

    async def report(self, command: str = "report") -> R:
        """The state of this moment. Raises ChildFailed when there is no answer within 15 s."""
        async with self._asking:  # An answer does not say to which question it is.
            answers = self._answers
            await self.command(command)
            latest = await self.until(lambda _: self._answers > answers, _ANSWER_SECONDS, "answer")
            return self._answer or latest  # A report that nobody asked for may have come right behind the answer.

    async def until(self, wanted: Callable[[R], bool], seconds: float, what: str) -> R:
        """The first report from now on that is wanted. Raises ChildFailed, saying that it did not `what`."""
        try:
            async with asyncio.timeout(seconds), self._news:
                while True:
                    await self._news.wait()
                    if self._over:
                        raise self._child.failure("ended too early")
                    if self._latest is not None and wanted(self._latest):
                        return self._latest
        except TimeoutError as error:
            failed = f"did not {what} within {seconds:g} s; its last report: {self._latest}"
            raise self._child.failure(failed) from error


@asynccontextmanager
async def reader_process(
    plan: readers.Plan, *, name: str, folder: Path, cores: frozenset[int]
) -> AsyncIterator[Worker[ReaderReport]]:
    """A process of readers, opening its connections."""
    argv = _argv("loadtest.readers", asdict(plan))
    async with (
        child(name, argv, folder=folder, cores=cores, pipes=True) as process,
        _reading(Worker(process, reader_report)) as worker,
    ):
        yield worker


@asynccontextmanager
async def publisher_process(
    plan: publisher.Plan, *, folder: Path, cores: frozenset[int], module: str = "loadtest.publisher"
) -> AsyncIterator[Worker[PublisherReport]]:
    """A publisher, pausing until it is given a rate. module: what runs in the process; it takes the same commands."""
    argv = _argv(module, asdict(plan))
    async with (
        child("publisher", argv, folder=folder, cores=cores, pipes=True) as process,
        _reading(Worker(process, publisher_report)) as worker,
    ):
        yield worker


@asynccontextmanager
async def roaming_process(
    plan: roamer.Plan, *, name: str, folder: Path, cores: frozenset[int], module: str = "loadtest.roaming"
) -> AsyncIterator[Worker[RoamReport]]:
    """A process of clients that come back, opening its connections. Its plan is a file: ten thousand have a topic.

    module: what runs in the process; it takes the same plan and commands.
    """
    argv = [sys.executable, "-m", module, _written(asdict(plan), folder / f"{name}.json")]
    async with (
        child(name, argv, folder=folder, cores=cores, pipes=True) as process,
        _reading(Worker(process, roam_report)) as worker,
    ):
        yield worker


@asynccontextmanager
async def producer_process(
    plan: producer.Plan, *, folder: Path, cores: frozenset[int]
) -> AsyncIterator[Worker[ProducerReport]]:
    """A producer, pausing until it is given a rate."""
    argv = _argv("loadtest.producer", asdict(plan))
    async with (
        child("producer", argv, folder=folder, cores=cores, pipes=True) as process,
        _reading(Worker(process, producer_report)) as worker,
    ):
        yield worker


def _written(plan: dict[str, object], path: Path) -> str:
    path.write_bytes(orjson.dumps(plan))
    return str(path)


def _argv(module: str, plan: dict[str, object]) -> list[str]:
    return [sys.executable, "-m", module, orjson.dumps(plan).decode()]


@asynccontextmanager
async def _reading(worker: Worker[R]) -> AsyncIterator[Worker[R]]:
    task = asyncio.create_task(worker.read(), name="reports")
    try:
        yield worker
    finally:
        task.cancel()
        await asyncio.wait({task}, timeout=_ANSWER_SECONDS)
        if not task.cancelled() and (error := task.exception()):
            raise error
