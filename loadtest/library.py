"""Readers that are `slipstream.client.Stream`, as programs have them: `python -m loadtest.library PLAN`.

PLAN, commands and reports are those of `loadtest.roaming`; only the first port is used. A Stream comes back by itself;
one that the churn closes is followed by another that goes on from its last id. Each event is looked at as it is handed
out. Its time is not: a program in Python reads later than the light clients do, and other aims are theirs.
"""

from __future__ import annotations

import asyncio
import random
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final

import orjson
import uvloop

from loadtest.publisher import obey
from loadtest.roamed import END_OF_STREAM, Roamed, RoamReport
from loadtest.roamer import Plan
from loadtest.tally import Findings, write
from loadtest.wire import TIMESTAMP, Numbers
from slipstream.client import Message, OrderViolation, Refused, Stream, Unreachable

LOST: Final = "the connection was lost"
_EVENT: Final = TIMESTAMP.decode()


@dataclass(slots=True)
class Reader:
    """One subscription.

    stream: the one it has now; closed: by us; count: its events; earlier: what its streams before came to.
    """

    stream: Stream
    numbers: Numbers
    closed: bool = False
    count: int = 0
    earlier: Counter[str] = field(default_factory=Counter)

    @property
    def live(self) -> bool:
        """Whether it has a connection: it had one, and is not due to make another."""
        return not self.closed and self.stream.counters.connects > 0 and self.stream.retry.due_at is None

    def tally(self) -> Counter[str]:
        """Streams `opened`, `failed` attempts, and those that the other side `ended`."""
        counters = self.stream.counters
        ended = max(0, counters.connects - (self.live or self.closed))
        return self.earlier + Counter(opened=counters.connects, failed=counters.failures, ended=ended)


class Library:
    """All readers of one process."""

    def __init__(self, plan: Plan, reports: BinaryIO) -> None:
        self._plan = plan
        self._reports = reports
        self._dice = random.Random(plan.numbers[0] if plan.numbers else 0)
        self._findings = Findings()
        self._churned = self._told = 0
        self._given_up = Counter[str]()
        self._churn = 0.0
        self._changed = asyncio.Event()
        self._readers = [Reader(self._stream(at), Numbers(self._findings, set())) for at in range(len(plan.targets))]

    async def run(self) -> None:
        """Read until the commands on stdin end."""
        answers = {
            "": lambda: self.report(asked=False),
            "report": lambda: self.report(asked=True),
            "account": lambda: self.report(asked=True, account=True),
        }
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(self._close_some(), name="churn")]
            for at, reader in enumerate(self._readers):
                running.append(tasks.create_task(self._read(at, reader), name=f"reader {at}"))
            await obey(self.churn, answers, rated="churn")
            for task in running:
                task.cancel()
        self.report(asked=False)

    def churn(self, per_second: float) -> None:
        """From now on so many streams a second are closed and come back."""
        self._churn = per_second
        self._changed.set()

    def report(self, *, asked: bool, account: bool = False) -> None:
        """What was done so far, as a line."""
        counts = [reader.count for reader in self._readers]
        live = sum(reader.live for reader in self._readers)
        done = sum((reader.tally() for reader in self._readers), Counter[str]())
        told = Counter({END_OF_STREAM: self._told})
        failed = self._given_up + Counter({"an attempt of slipstream.client": done["failed"]})
        roamed = Roamed(
            cpu_seconds=time.process_time(),
            events=sum(counts),
            opened=done["opened"],
            churned=self._churned,
            failed=failed,
            ended=told + Counter({LOST: done["ended"] - self._told}),
            inspected=self._findings,
        )
        away = len(counts) - live
        write(RoamReport(time.monotonic_ns(), asked, live, away, roamed, counts if account else []), self._reports)

    def _stream(self, at: int, last_event_id: str | None = None) -> Stream:
        plan = self._plan
        url = f"http://{plan.host}:{plan.ports[0]}{plan.targets[at]}"
        return Stream(url, control=True, last_event_id=last_event_id, connect_seconds=plan.open_seconds)

    async def _read(self, at: int, reader: Reader) -> None:
        """One reader's life; it ends early, and is missed, when its Stream gives up."""
        await asyncio.sleep(at / self._plan.per_second)
        try:
            while True:
                async for message in reader.stream:
                    self._take(reader, message)
                await asyncio.sleep(self._plan.away)
                reader.earlier = reader.tally()
                reader.stream, reader.closed = self._stream(at, reader.stream.last_event_id), False
        except OrderViolation as error:
            self._findings.disordered += 1
            self._give_up(reader, error)
        except (Refused, Unreachable, ValueError) as error:
            self._give_up(reader, error)
        finally:
            reader.stream.close()

    def _give_up(self, reader: Reader, error: Exception) -> None:
        self._given_up[f"given up: {type(error).__name__}: {error}"[:120]] += 1
        reader.closed = True

    def _take(self, reader: Reader, message: Message) -> None:
        position = message.id.encode().split(b"-")
        if message.data.startswith(_EVENT):
            reader.count += 1
            self._findings.events += 1
            reader.numbers.event(position)
            return
        match message.event:
            case "stream.gap":
                self._findings.gaps += 1
                reader.numbers.moved(position)
            case "stream.ready" if not reader.numbers.known:
                reader.numbers.moved(position)
            case "stream.drain":
                self._told += 1
            case "error":
                self._told += 1
                self._findings.errors[message.data] += 1

    async def _close_some(self) -> None:
        """Close the streams that the churn takes, one at a time."""
        while True:
            self._changed.clear()
            try:
                async with asyncio.timeout(1 / self._churn if self._churn else None):
                    await self._changed.wait()
            except TimeoutError:
                self._close_one()

    def _close_one(self) -> None:
        if live := [reader for reader in self._readers if reader.live and reader.numbers.known]:
            reader = self._dice.choice(live)
            reader.closed = True
            reader.stream.close()
            self._churned += 1


def main(arguments: list[str]) -> int:
    """Entry point of the process."""
    plan = Plan(**orjson.loads(Path(arguments[0]).read_bytes()))
    uvloop.run(Library(plan, sys.stdout.buffer).run())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
