"""The workloads: each starts its own servers, measures one thing, and says what it reached against which aim.

A workload is an entry in `WORKLOADS`; a new one needs a coroutine `(settings, connections, show) -> Result`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from loadtest.idle import idle
from loadtest.measure import Run, Settings, Show, Window, faults, open_run
from loadtest.result import Aim, Result, figures, keeps_up, limits

_STEP_SECONDS: Final = 3.0

Workload = Callable[[Settings, int, Show], Awaitable[Result]]


async def single(settings: Settings, connections: int, show: Show) -> Result:
    """How many deliveries a second, each with a write of its own; the rate grows until events share writes."""
    async with open_run(settings, connections, show) as run:
        main = await run.window(settings.seconds, 200, settle=2.0)
        await run.drain()
        climbed = await _climb(run, connections, 225 if keeps_up(main, 200, connections) else 75)
        received, published = await run.drain()
    steps = [(200.0, main), *climbed]
    kept = [step for rate, step in steps if keeps_up(step, rate, connections)]
    best = max(kept, key=lambda step: step.delivered, default=None)
    details: dict[str, float | None] = {}
    for rate, step in sorted(steps, key=lambda one: one[0]):
        details[f"at {rate:g} events/s: deliveries/s"] = step.delivered
        details[f"at {rate:g} events/s: events per write"] = step.events_per_write
        details[f"at {rate:g} events/s: edge CPU us per delivery"] = step.cpu_us
    return Result(
        "single",
        f"{connections:,} streams, one event per write",
        best.delivered if best else 0.0,
        Aim(150_000, "deliveries/s"),
        {
            "deliveries/s, the most that were kept up": best.delivered if best else None,
            "deliveries per CPU second there": best.per_cpu_second if best else None,
            **details,
            **{f"{name}, at 200 events/s": value for name, value in figures(main).items()},
        },
        limits(steps),
        faults(received, published, connections),
    )


async def burst(settings: Settings, connections: int, show: Show) -> Result:
    """A thousand events a second to everybody."""
    aim = Aim(700_000, "deliveries/s")
    return await _steady(settings, connections, show, "burst", 1000, aim)


async def classic(settings: Settings, connections: int, show: Show) -> Result:
    """Twelve events a second, as a chat or a ticker has them: latency, with readers that look at once."""
    return await _steady(settings, connections, show, "classic", 12, None)


WORKLOADS: Final[dict[str, tuple[Workload, int]]] = {
    "idle": (idle, 10_000),
    "single": (single, 1_000),
    "burst": (burst, 1_000),
    "classic": (classic, 1_000),
}
"""The workloads by name, in the order they run, and how many streams each has by default."""


async def _steady(
    settings: Settings,
    connections: int,
    show: Show,
    name: str,
    rate: float,
    aim: Aim | None,
) -> Result:
    """One rate for the whole time."""
    async with open_run(settings, connections, show) as run:
        window = await run.window(settings.seconds, rate, settle=2.0)
        received, published = await run.drain()
    return Result(
        name,
        f"{connections:,} streams, {rate:g} events/s",
        min(window.delivered, window.published * connections),  # Not what was caught up with from before.
        aim,
        {**figures(window), "deliveries per CPU second": window.per_cpu_second},
        limits([(rate, window)]),
        faults(received, published, connections),
    )


async def _climb(run: Run, connections: int, rate: float) -> list[tuple[float, Window]]:
    """Steps of 25 events/s from `rate` until one is not kept up with; at most eight."""
    steps: list[tuple[float, Window]] = []
    while len(steps) < 8:
        steps.append((rate, await run.window(_STEP_SECONDS, rate, settle=1.0)))
        if not keeps_up(steps[-1][1], rate, connections):
            break
        rate += 25
    return steps
