"""Runs one scenario on fresh servers, from the first connection to the account of every client."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import operator
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Final, Protocol

from loadtest import kills
from loadtest.child import ChildFailed
from loadtest.crowd import Crowd, gathered
from loadtest.establish import establish
from loadtest.kills import Mark
from loadtest.measure import Settings
from loadtest.monitoring import document
from loadtest.outcome import Library, Measured, Outcome
from loadtest.producer import Plan
from loadtest.roamed import ProducerReport
from loadtest.sample import Sample, Snapshot
from loadtest.sampler import Sampler
from loadtest.scenario import Scenario
from loadtest.servers import TENANT, Stack, stack
from loadtest.worker import Worker, producer_process

_START_SECONDS: Final = 20.0
_OPEN_SECONDS: Final = 30.0
_DRAIN_SECONDS: Final = 60.0
_LOOK_SECONDS: Final = 0.2
_STREAM: Final = f"SSE_{TENANT}"


class Watch(Protocol):
    """The person who waits."""

    def phase(self, name: str) -> None:
        """What is done from now on."""

    def sample(self, point: Sample) -> None:
        """What happened in the last second."""

    def mark(self, mark: Mark) -> None:
        """Something was done to a server."""


async def drive(
    name: str, scenario: Scenario, settings: Settings, conditions: dict[str, str], watch: Watch, *, wrk: bool = True
) -> Outcome:
    """What the scenario came to. wrk: also measure how fast connections are opened.

    Raises ChildFailed when a process does not start or answer, or the streams are not all open in time.
    """
    watch.phase("starting nats-server and the pods")
    servers_ = stack(
        settings.cores,
        connections=scenario.connections,
        store=settings.store,
        loop=settings.loop,
        settings=scenario.environment,
        edges=scenario.pods,
    )
    async with servers_ as servers:
        async with (
            _producing(scenario, servers, settings) as producer,
            gathered(scenario, servers, settings) as crowd,
        ):
            outcome = await _Run(name, scenario, servers, crowd, producer, watch).outcome(conditions)
        if not wrk:
            return outcome
        watch.phase("opening connections as fast as they go")
        return dataclasses.replace(outcome, established=await establish(servers, settings, scenario.connections))


class _Run:
    """One load, on a running stack with its clients and a producer that publishes nothing yet."""

    def __init__(
        self,
        name: str,
        scenario: Scenario,
        servers: Stack,
        crowd: Crowd,
        producer: Worker[ProducerReport],
        watch: Watch,
    ) -> None:
        self._name = name
        self._scenario = scenario
        self._servers = servers
        self._crowd = crowd
        self._producer = producer
        self._watch = watch
        self._sampler = Sampler(servers, crowd.workers, producer, watch.sample)
        self._marks: list[Mark] = []
        self._phases: list[tuple[str, float, float]] = []

    async def outcome(self, conditions: dict[str, str]) -> Outcome:
        """Open, publish, wait for the last events, and ask for the account."""
        scenario, crowd = self._scenario, self._crowd
        async with self._sampling():
            with self._phase(f"opening {scenario.connections:,} streams"):
                seconds = _OPEN_SECONDS + scenario.connections / scenario.ramp + scenario.connections / 500
                await _until(lambda: crowd.open, seconds, "the streams are not all open")
            with self._phase(f"{scenario.rate:g} events/s"):
                early, late = await self._publish()
            with self._phase("waiting for the last events"):
                await self._settled()
        last = await self._sampler.snapshot()
        published = (await self._producer.report("account")).counts
        return Outcome(
            name=self._name,
            scenario=scenario,
            conditions=conditions,
            samples=self._sampler.samples,
            marks=self._marks,
            phases=self._phases,
            measured=Measured.between(early, late),
            total=functools.reduce(operator.add, (report.roamed for report in last.clients)),
            produced=last.producer.produced,
            stored=await _stored(self._servers),
            account=await crowd.account(published),
            library=Library(await crowd.account(published, library=True), last.clients[crowd.library].roamed),
            missing_clients=crowd.away,
            endings=await _endings(self._servers),
        )

    async def _publish(self) -> tuple[Snapshot, Snapshot]:
        """The whole time of publishing, with what breaks meanwhile; the moments between which is measured."""
        scenario = self._scenario
        breaking = asyncio.create_task(kills.carry_out(scenario.kills, self._servers, self._noted), name="kills")
        began = time.monotonic()
        try:
            await self._producer.command(f"rate {scenario.rate}")
            await self._crowd.churn(scenario.churn.per_second)
            await _pass(began + scenario.settle, breaking)
            early = await self._sampler.snapshot()
            await _pass(began + scenario.seconds, breaking)
            late = await self._sampler.snapshot()
            await self._producer.command("rate 0")
            await self._crowd.churn(0)
            await breaking
        finally:
            breaking.cancel()
        return early, late

    async def _settled(self) -> None:
        """Everything is acknowledged, everybody is back and has all that is due; or a minute has passed."""
        until = time.monotonic() + _DRAIN_SECONDS
        while time.monotonic() < until:
            report = await self._producer.report("account")
            account = await self._crowd.account(report.counts)
            if report.produced.sent == report.produced.acked and not account.lost and not self._crowd.away:
                return
            await asyncio.sleep(_LOOK_SECONDS)

    def _noted(self, text: str) -> None:
        self._marks.append(Mark(self._sampler.clock(), text))
        self._watch.mark(self._marks[-1])

    @contextmanager
    def _phase(self, name: str) -> Iterator[None]:
        began = self._sampler.clock()
        self._watch.phase(name)
        yield
        self._phases.append((name, began, self._sampler.clock()))

    @asynccontextmanager
    async def _sampling(self) -> AsyncIterator[None]:
        """The sampler runs within the block. Raises ChildFailed at its end, when somebody did not answer meanwhile."""
        task = asyncio.create_task(self._sampler.run(), name="sampler")
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait({task}, timeout=_START_SECONDS)
        if not task.cancelled():
            task.result()


async def _pass(until: float, breaking: asyncio.Task[None]) -> None:
    """Let time pass; a kill that went wrong ends it."""
    await asyncio.wait({breaking}, timeout=max(0.0, until - time.monotonic()))
    if breaking.done():
        breaking.result()
        await asyncio.sleep(max(0.0, until - time.monotonic()))


async def _until(wanted: Callable[[], bool], seconds: float, late: str) -> None:
    """Look until it is so. Raises ChildFailed, saying what is late, after so many seconds."""
    until = time.monotonic() + seconds
    while not wanted():
        if time.monotonic() > until:
            raise ChildFailed(f"{late} after {seconds:.0f} s: lower `connections`, or look at the machine's load")
        await asyncio.sleep(_LOOK_SECONDS)


async def _stored(servers: Stack) -> int:
    """Messages in the tenant's stream, by the server's own count."""
    found = await document(servers.monitor_port, "/jsz?accounts=true&streams=true")
    streams = (stream for account in found["account_details"] for stream in account.get("stream_detail", ()))
    return sum(int(stream["state"]["messages"]) for stream in streams if stream["name"] == _STREAM)


async def _endings(servers: Stack) -> Counter[str]:
    """Why streams ended, as the edges count it that run now."""
    told = Counter[str]()
    for pod in servers.pods:
        told.update((await document(pod.admin_port, "/statusz"))["endings"])
    return told


@asynccontextmanager
async def _producing(scenario: Scenario, servers: Stack, settings: Settings) -> AsyncIterator[Worker[ProducerReport]]:
    sizes = [(size.bytes, size.weight) for size in scenario.size]
    plan = Plan(servers.nats_url, TENANT, scenario.topics.count, sizes)
    async with producer_process(plan, folder=servers.folder, cores=settings.cores.others) as producer:
        await producer.until(lambda _: True, _START_SECONDS, "connect")
        yield producer
