"""One peer, measured once under one load by the readers of the load test."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from loadtest.child import ChildFailed
from loadtest.compiled import NotCompiled
from loadtest.measure import Moment, Settings, Show, Window, open_streams
from loadtest.peers.compare import Trial
from loadtest.peers.peer import Peer, Serving
from loadtest.procfs import Usage, resident, usage
from loadtest.tally import PublisherReport, ReaderReport
from loadtest.worker import Worker, publisher_process

_START_SECONDS: Final = 20.0
_SETTLE_SECONDS: Final = 2.0
_DRAIN_SECONDS: Final = 10.0
_KEPT_UP: Final = 0.98


@dataclass(frozen=True, slots=True)
class Load:
    """How many events a second all streams are offered."""

    name: str
    title: str
    rate: float


LOADS: Final = (
    Load("burst", "1,000 events/s", 1000),
    Load("flood", "4,000 events/s, which is more than most can take", 4000),
    Load("classic", "12 events/s, readers that look at once", 12),
    Load("single", "50 events/s, each of them a write of its own", 50),
)


async def measured(peer: Peer, load: Load, settings: Settings, connections: int, show: Show) -> Trial:
    """A trial on servers of its own. A peer that fails under the load is told with its last words, not raised."""
    if not peer.installed():
        return Trial(peer.name, load.name, failure=f"not installed: {peer.hint}")
    try:
        return await _measured(peer, load, settings, connections, show)
    except (ChildFailed, NotCompiled) as error:
        return Trial(peer.name, load.name, failure=str(error))


async def _measured(peer: Peer, load: Load, settings: Settings, connections: int, show: Show) -> Trial:
    show("starting")
    cores = settings.cores.others
    async with (
        peer.start(settings, connections) as serving,
        open_streams(settings, serving, connections, show, serving.target) as groups,
        publisher_process(serving.feed, folder=serving.folder, cores=cores, module=serving.feed_module) as feed,
    ):
        await feed.until(lambda _: True, _START_SECONDS, "connect")
        await feed.command(f"rate {load.rate}")
        show("settling")
        await asyncio.sleep(_SETTLE_SECONDS)
        helpers = _cpu(serving)
        begin = await _moment(serving, groups, feed)
        show("measuring")
        await asyncio.sleep(settings.seconds)
        window = Window.between(begin, await _moment(serving, groups, feed))
        helpers = (_cpu(serving) - helpers) / window.seconds
        memory = float(sum(resident(pid).pss for pid in (serving.pid, *serving.others)))
        offered = load.rate * connections
        lost = None
        if window.delivered >= _KEPT_UP * offered:
            lost = await _lost(groups, feed, connections, show)
        return Trial(
            peer=peer.name,
            workload=load.name,
            offered=offered,
            published=window.published,
            delivered=window.delivered,
            p50=window.latency_ms(50),
            p99=window.latency_ms(99),
            cpu_us=window.cpu_us,
            all_cpu_us=1e6 * (window.cpu + helpers) / window.delivered if window.delivered else None,
            memory=memory,
            cpu=window.cpu,
            waited=window.waited,
            per_write=window.events_per_write,
            lost=lost,
        )


async def _moment(serving: Serving, groups: Sequence[Worker[ReaderReport]], feed: Worker[PublisherReport]) -> Moment:
    server, at = usage(serving.pid), time.monotonic()
    reports = await asyncio.gather(*(group.report() for group in groups))
    return Moment(at, Usage(server.cpu, server.waited), reports, await feed.report())


def _cpu(serving: Serving) -> float:
    """Processor time of the processes that do not write to the streams, in seconds."""
    return sum(usage(pid).cpu for pid in serving.others)


async def _lost(
    groups: Sequence[Worker[ReaderReport]], feed: Worker[PublisherReport], connections: int, show: Show
) -> int:
    """Stop publishing, wait until every stream had every event, at most 10 s; how many are missing (or too many)."""
    show("waiting for the last events")
    await feed.command("rate 0")
    due = (await feed.report()).published.sent * connections
    until = time.monotonic() + _DRAIN_SECONDS
    while True:
        received = sum(report.received.events for report in await asyncio.gather(*(each.report() for each in groups)))
        if received >= due or time.monotonic() > until:
            return due - received
        await asyncio.sleep(0.1)
