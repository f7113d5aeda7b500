"""One workload's running parts, and what happened to them between two moments."""

from __future__ import annotations

import asyncio
import functools
import operator
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import urlencode

from loadtest import publisher, readers
from loadtest.child import ChildFailed
from loadtest.machine import Cores
from loadtest.procfs import Usage, usage
from loadtest.servers import TENANT, Stack, stack
from loadtest.tally import Published, PublisherReport, ReaderReport, Received
from loadtest.worker import Worker, publisher_process, reader_process
from slipstream.cli.dev.ports import HOST

TARGET: Final = "/v1/events?" + urlencode({"topic": "flights.>", "tenant": TENANT, "refusal": "status"})
"""All flights, so that sequence numbers have no holes. A refusal has its status, which a count shows by its reason."""

_INSPECT_ONE_IN: Final = 50
_PER_SECOND: Final = 2000.0
_PAUSE_SECONDS: Final = 0.02
_OPEN_SECONDS: Final = 30.0
_START_SECONDS: Final = 20.0
_DRAIN_SECONDS: Final = 60.0

Show = Callable[[str], None]
"""Tells the person who waits what happens now."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What holds for all workloads. store: nats-server's files are below it; processes: readers are split over them."""

    cores: Cores
    seconds: float = 12.0
    processes: int = 1
    store: Path | None = None
    loop: str = "uvloop"


@dataclass(frozen=True, slots=True)
class Moment:
    """All counts at one time. at: monotonic seconds of the edge's processor time."""

    at: float
    edge: Usage
    readers: list[ReaderReport]
    publisher: PublisherReport


@dataclass(frozen=True, slots=True)
class Window:
    """What happened between two moments. Rates are per second; `cpu` and `waited` are shares of the time."""

    seconds: float
    cpu: float
    waited: float
    delivered: float
    published: float
    reader_cpu: float
    received: Received

    @classmethod
    def between(cls, begin: Moment, end: Moment) -> Window:
        """Each process's rates by its own clock, since it answers when it can."""
        seconds = end.at - begin.at
        edge = end.edge - begin.edge
        parts = [late.received - early.received for early, late in zip(begin.readers, end.readers, strict=True)]
        times = [(late.at_ns - early.at_ns) / 1e9 for early, late in zip(begin.readers, end.readers, strict=True)]
        sent = end.publisher.published.sent - begin.publisher.published.sent
        return cls(
            seconds=seconds,
            cpu=edge.cpu / seconds,
            waited=edge.waited / seconds,
            delivered=sum(part.events / time for part, time in zip(parts, times, strict=True)),
            published=sent / ((end.publisher.at_ns - begin.publisher.at_ns) / 1e9),
            reader_cpu=max(part.cpu_seconds / time for part, time in zip(parts, times, strict=True)),
            received=functools.reduce(operator.add, parts),
        )

    @property
    def per_cpu_second(self) -> float | None:
        """Deliveries for each second of the edge's processor time."""
        return self.delivered / self.cpu if self.delivered and self.cpu else None

    @property
    def cpu_us(self) -> float | None:
        """The edge's processor time for one delivery, in microseconds."""
        return 1e6 * self.cpu / self.delivered if self.delivered else None

    @property
    def events_per_write(self) -> float | None:
        """Events that the edge wrote at once, by the TCP segments that came on the inspected connections."""
        inspected = self.received.inspected
        return inspected.events / inspected.segments if inspected.segments else None

    def latency_ms(self, percent: float) -> float | None:
        """A percentile of the time from just before the publish to the read."""
        found = self.received.inspected.latency.percentile(percent)
        return None if found is None else found / 1e6


class Run:
    """A stack with readers, all of them streaming, and a publisher."""

    def __init__(
        self, stack_: Stack, groups: Sequence[Worker[ReaderReport]], publisher_: Worker[PublisherReport], show: Show
    ) -> None:
        self.stack = stack_
        self._groups = groups
        self._publisher = publisher_
        self._show = show

    async def moment(self) -> Moment:
        """Ask everybody now."""
        edge, at = usage(self.stack.edge_pid), time.monotonic()
        reports = await asyncio.gather(*(group.report() for group in self._groups))
        return Moment(at, edge, reports, await self._publisher.report())

    async def window(self, seconds: float, rate: float, *, settle: float = 0.0) -> Window:
        """Publish at `rate` events a second; what happened in `seconds`, after a time to settle."""
        await self._publisher.command(f"rate {rate}")
        await self._pass(settle, f"{rate:g} events/s, settling")
        begin = await self.moment()
        await self._pass(seconds, f"{rate:g} events/s")
        return Window.between(begin, await self.moment())

    async def drain(self) -> tuple[Received, Published]:
        """Stop publishing and wait until every stream had every event, at most a minute; the final counts."""
        await self._publisher.command("rate 0")
        published = (await self._publisher.report()).published
        until = time.monotonic() + _DRAIN_SECONDS
        while True:
            reports = await asyncio.gather(*(group.report() for group in self._groups))
            received = functools.reduce(operator.add, (report.received for report in reports))
            due = published.sent * sum(report.live for report in reports)
            if received.events >= due or time.monotonic() > until:
                return received, (await self._publisher.report()).published
            self._show(f"waiting for the last events: {due - received.events:,} deliveries under way")
            await asyncio.sleep(0.2)

    async def _pass(self, seconds: float, what: str) -> None:
        """Let time pass, telling about each second."""
        until = time.monotonic() + seconds
        early: list[ReaderReport] = []
        cpu = usage(self.stack.edge_pid)
        while (left := until - time.monotonic()) > 0:
            began = time.monotonic()
            await asyncio.sleep(min(1.0, left))
            late = [group.latest for group in self._groups if group.latest is not None]
            cpu, before = usage(self.stack.edge_pid), cpu
            share = (cpu - before).cpu / (time.monotonic() - began)
            self._show(f"{what}: {_second(early, late)}, edge {share:.0%} of its core, {left:.0f} s left")
            early = late


def _second(early: Sequence[ReaderReport], late: Sequence[ReaderReport]) -> str:
    """What came between two reports, in words."""
    live = sum(report.live for report in late)
    if len(early) != len(late) or any(new.at_ns == old.at_ns for old, new in zip(early, late, strict=True)):
        return f"{live:,} streams"
    rate = sum(
        (new.received.events - old.received.events) * 1e9 / (new.at_ns - old.at_ns)
        for old, new in zip(early, late, strict=True)
    )
    return f"{live:,} streams, {rate:,.0f} deliveries/s"


class Listening(Protocol):
    """A server of event streams on a loopback port; the logs of its readers go to `folder`."""

    @property
    def port(self) -> int:
        """Where it listens."""

    @property
    def folder(self) -> Path:
        """An existing folder."""


@asynccontextmanager
async def open_streams(
    settings: Settings, servers: Listening, connections: int, show: Show, target: str = TARGET
) -> AsyncIterator[list[Worker[ReaderReport]]]:
    """Reader processes whose `connections` are all open; they end with the block. target: path and query.

    One stream in 50 belongs to a process that parses all it reads, and reads at once: it tells order and latency. The
    others only count, and pause between two looks. The former are opened all along with the others, so that they are
    served in the middle of them.

    Raises ChildFailed when they are not all open after 30 s and one more for each 500, or one of them failed.
    """
    inspected = max(1, connections // _INSPECT_ONE_IN)
    rate = _PER_SECOND / connections
    plans = [_plan(servers, target, inspected, rate, inspect=True)]
    plans += [_plan(servers, target, share, rate) for share in shares(connections - inspected, settings.processes)]
    async with AsyncExitStack() as running:
        groups = []
        for number, plan in enumerate(plans):
            process = reader_process(plan, name=f"readers-{number}", folder=servers.folder, cores=settings.cores.others)
            groups.append(await running.enter_async_context(process))
        deadline = _OPEN_SECONDS + connections / 500
        opening = asyncio.gather(*(group.until(_opened, deadline, "open its connections") for group in groups))
        while not opening.done():
            await asyncio.wait({opening}, timeout=0.5)
            live = sum(group.latest.live for group in groups if group.latest)
            show(f"opening {connections:,} streams: {live:,}")
        for report in opening.result():
            if report.received.failed:
                raise ChildFailed(f"streams could not be opened: {_listed(report.received.failed)}")
        yield groups


@asynccontextmanager
async def publishing_to(
    settings: Settings, servers: Stack, groups: Sequence[Worker[ReaderReport]], show: Show
) -> AsyncIterator[Run]:
    """A run of open streams, with a publisher that publishes nothing yet."""
    plan = publisher.Plan(servers.nats_url, TENANT)
    async with publisher_process(plan, folder=servers.folder, cores=settings.cores.others) as publishing:
        await publishing.until(lambda _: True, _START_SECONDS, "connect")
        yield Run(servers, groups, publishing, show)


@asynccontextmanager
async def open_run(settings: Settings, connections: int, show: Show) -> AsyncIterator[Run]:
    """Fresh servers, `connections` open streams (see `open_streams`) and a publisher that publishes nothing yet."""
    async with (
        fresh_servers(settings, connections, show) as servers,
        open_streams(settings, servers, connections, show) as groups,
        publishing_to(settings, servers, groups, show) as run,
    ):
        yield run


def fresh_servers(settings: Settings, connections: int, show: Show) -> AbstractAsyncContextManager[Stack]:
    """A nats-server and an edge with room for so many streams, as `servers.stack` starts them."""
    show("starting nats-server and the edge")
    return stack(settings.cores, connections=connections, store=settings.store, loop=settings.loop)


def _plan(servers: Listening, target: str, connections: int, rate: float, *, inspect: bool = False) -> readers.Plan:
    """A process's part of the streams; together they open 2,000 a second. rate: new ones a second for each stream."""
    pause = 0.0 if inspect else _PAUSE_SECONDS
    per_second = max(1.0, connections * rate)
    return readers.Plan(HOST, servers.port, target, connections, per_second, inspect=inspect, pause_seconds=pause)


def shares(total: int, parts: int) -> list[int]:
    """`total` in so many whole parts that differ by at most one; parts of nothing are left out."""
    even, more = divmod(total, parts)
    return [share for share in [even + 1] * more + [even] * (parts - more) if share]


def faults(received: Received, published: Published, connections: int) -> list[str]:
    """What must not happen, in words; `received` and `published` are the counts of a whole run, drained."""
    inspected = received.inspected
    difference = received.events - published.sent * connections
    found = {
        "events lost": max(0, -difference),
        "events too many": max(0, difference),
        "streams ended early": received.ended.total(),
        "events out of order": inspected.disordered,
        "events missing in sequence": inspected.missing,
        "gap frames": inspected.gaps,
        "error frames": inspected.errors.total(),
        "publishes not acknowledged": published.sent - published.acked,
    }
    told = [f"{count:,} {what}" for what, count in found.items() if count]
    causes = received.ended + inspected.errors + published.failed
    return [*told, f"causes: {_listed(causes)}"] if causes else told


def _opened(report: ReaderReport) -> bool:
    return report.opening == 0


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{count:,} x {what}" for what, count in counts.most_common())
