"""Injects the plan, step by step, and waits after each until every reader has caught up."""

import asyncio
from collections.abc import Callable

from tests.faults.plan import Orders, Step
from tests.faults.result import Injection, far
from tests.faults.world import Violation, World
from tests.proof.checker import Verdict
from tests.servers import ServerError, wait_until

FAULT_SECONDS = 90.0
CALM_SECONDS = 45.0
"""A reader that has not caught up by then has lost its way, whatever it is told later."""
STEADY_SECONDS = 0.5
"""Calm goes on for so long before the next step, so that pauses of two steps do not run together."""

Told = Callable[[str], None]


class Nemesis:
    """injections: what was done so far. now: what it is doing, in words."""

    def __init__(self, world: World, orders: Orders, told: Told) -> None:
        self.injections: list[Injection] = []
        self.now = "warming up"
        self._world = world
        self._orders = orders
        self._told = told

    async def run(self) -> None:
        """Inject the plan, for as long as there is time."""
        loop = asyncio.get_running_loop()
        until = loop.time() + self._orders.seconds
        for step in self._orders.plan:
            if loop.time() > until:
                return
            await self._step(step)

    async def _step(self, step: Step) -> None:
        loop = asyncio.get_running_loop()
        one = Injection(step, loop.time())
        self.injections.append(one)
        self._world.verdict = one.verdict = Verdict()
        self.now = step.name
        async with asyncio.TaskGroup() as group:
            for kind in step.kinds:
                group.create_task(self._inject(one, kind), name=f"fault {kind}")
        one.ended = loop.time()
        self.now = f"calm after {step.name}"
        await self._calm(one)
        one.calm = loop.time()
        self._measure(one)
        await asyncio.sleep(STEADY_SECONDS)
        self._told(
            f"{step.name}: {'; '.join(one.notes) or 'done'}; pause of a client {one.client_pause:.1f} s"
            f" ({one.slowest}), without its retry {one.recovery:.1f} s, of a publisher {one.publisher_pause:.1f} s"
            + "".join(f"; BROKEN: {text}" for text in one.violations)
        )

    async def _inject(self, one: Injection, kind: str) -> None:
        try:
            async with asyncio.timeout(FAULT_SECONDS):
                note = await self._orders.kinds[kind].inject(self._world, one.step.dice(self._orders.seed, kind))
        except (Violation, TimeoutError, ServerError) as error:
            one.violations.append(f"{kind}: {str(error) or type(error).__name__}")
        except BaseExceptionGroup as group:
            told, others = group.split((Violation, TimeoutError, ServerError))
            if others is not None:
                raise
            one.violations.append(f"{kind}: {told!r}")
        else:
            one.notes.append(note)

    async def _calm(self, one: Injection) -> None:
        """Until all have what was acknowledged at the end of the fault, and publishers are heard again."""
        world = self._world
        one.bounds = {tenant: book.highest for tenant, book in world.books.items()}
        behind = {reader: world.books[reader.plan.tenant].last_match(reader.plan.filters) for reader in world.readers}
        quiet = {publisher.pulse: publisher.pulse.last for publisher in world.load.publishers}

        async def calm() -> bool:
            for reader in [reader for reader, last in behind.items() if reader.is_ready and reader.last_seq >= last]:
                del behind[reader]
            for pulse in [pulse for pulse, last in quiet.items() if pulse.last != last]:
                del quiet[pulse]
            return not behind and not quiet

        try:
            await wait_until(calm, seconds=CALM_SECONDS, what="calm")
        except TimeoutError:
            names = [reader.plan.name for reader in behind] + [pulse.name for pulse in quiet]
            one.violations.append(f"not calm {CALM_SECONDS:g} s after it was undone: {', '.join(names[:6])}")

    def _measure(self, one: Injection) -> None:
        pulses = [reader.pulse for reader in self._world.readers if reader.pulse is not None]
        pauses = [(pulse.name, pause) for pulse in pulses for pause in pulse.touching(one.began, one.calm)]
        if pauses:
            one.slowest, longest = max(pauses, key=lambda pair: pair[1].seconds)
            one.client_pause = longest.seconds
            name, recovery = max(pauses, key=lambda pair: pair[1].recovery)
            one.recovery, one.why = recovery.recovery, f"{name}, {recovery}"
        one.publisher_pause = max(
            publisher.pulse.longest(one.began, one.calm) for publisher in self._world.load.publishers
        )
        if len(one.step.kinds) == 1:
            one.promised = self._orders.kinds[one.step.name].promised
        if one.promised is not None and one.took > far(one.promised):
            one.violations.append(f"it took {one.took:.1f} s ({one.why}); {one.promised:g} s were promised")
