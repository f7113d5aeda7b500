"""All clients of a scenario: the processes they are in, and what they are due."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Final

from loadtest.establish import POLL
from loadtest.ingress import address
from loadtest.measure import Settings, shares
from loadtest.outcome import Account
from loadtest.roamed import RoamReport
from loadtest.roamer import Plan
from loadtest.scenario import Scenario
from loadtest.servers import Stack
from loadtest.subscriptions import chosen, due, groups, target
from loadtest.worker import Worker, roaming_process
from slipstream.cli.dev.ports import HOST

_PAUSE_SECONDS: Final = 0.02


@dataclass(frozen=True, slots=True)
class Crowd:
    """workers: the processes; numbers: of each the clients that read all they can; topics: of every client.

    library: the place of the process of the readers of `slipstream.client`.
    """

    workers: Sequence[Worker[RoamReport]]
    numbers: Sequence[Sequence[int]]
    topics: Sequence[Sequence[int]]
    library: int

    @property
    def open(self) -> bool:
        """Whether every client has a stream."""
        return all(worker.latest is not None and worker.latest.away == 0 for worker in self.workers)

    @property
    def away(self) -> int:
        """Clients without a stream at their newest report; the slow ones are not expected to stay."""
        latest = [worker.latest for worker, numbers in zip(self.workers, self.numbers, strict=True) if numbers]
        return sum(report.away for report in latest if report is not None)

    async def churn(self, per_second: float) -> None:
        """From now on so many connections a second are closed and come back; none of the slow ones."""
        reading = sum(map(len, self.numbers))
        for worker, numbers in zip(self.workers, self.numbers, strict=True):
            await worker.command(f"churn {per_second * len(numbers) / reading:g}")

    async def account(self, published: Sequence[int], *, library: bool = False) -> Account:
        """What they had of what they are due, from how many events each topic had. library: of those readers alone."""
        wanted = due(self.topics, published)
        wants: list[int] = []
        had: list[int] = []
        for place, (worker, numbers) in enumerate(zip(self.workers, self.numbers, strict=True)):
            if numbers and (place == self.library or not library):
                wants += [wanted[number] for number in numbers]
                had += (await worker.report("account")).counts
        return Account.of(wants, had)


@asynccontextmanager
async def gathered(scenario: Scenario, servers: Stack, settings: Settings) -> AsyncIterator[Crowd]:
    """The processes of all clients, opening their connections; they go with the block."""
    topics = chosen(scenario.topics, scenario.connections)
    grouped = groups(scenario)
    plans = [_plan(scenario, servers, topics, grouped.inspected, inspect=True)]
    at = 0
    for count in shares(len(grouped.counting), settings.processes):
        plans.append(_plan(scenario, servers, topics, grouped.counting[at : at + count]))
        at += count
    library = len(plans)
    plans.append(_plan(scenario, servers, topics, grouped.library))
    numbers = [plan.numbers for plan in plans]
    if grouped.slow:
        plans.append(_plan(scenario, servers, topics, grouped.slow, slow=True))
        numbers.append([])
    cores = settings.cores.others
    async with AsyncExitStack() as running:
        port = await running.enter_async_context(address(servers, cores, POLL))
        plans[library] = replace(plans[library], ports=[port])
        workers = []
        for place, plan in enumerate(plans):
            module = "loadtest.library" if place == library else "loadtest.roaming"
            process = roaming_process(plan, name=f"clients-{place}", folder=servers.folder, cores=cores, module=module)
            workers.append(await running.enter_async_context(process))
        yield Crowd(workers, numbers, topics, library)


def _plan(
    scenario: Scenario,
    servers: Stack,
    topics: Sequence[Sequence[int]],
    numbers: list[int],
    *,
    inspect: bool = False,
    slow: bool = False,
) -> Plan:
    """The part of the clients that one process has; together they open `ramp` a second."""
    return Plan(
        HOST,
        [pod.port for pod in servers.pods],
        numbers,
        [target(topics[number]) for number in numbers],
        max(1.0, scenario.ramp * len(numbers) / scenario.connections),
        away=scenario.churn.away,
        inspect=inspect,
        bytes_per_second=scenario.slow.bytes_per_second if slow else None,
        pause_seconds=0.0 if inspect else _PAUSE_SECONDS,
    )
