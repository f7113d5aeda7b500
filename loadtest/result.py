"""What a workload reached, and what that is worth. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from loadtest.measure import Window

SUSTAINED: Final = 0.98
"""The least share of what was offered that counts as keeping up."""

SEPARATE: Final = 1.05
"""Most events per write that still count as one event per write."""


@dataclass(frozen=True, slots=True)
class Aim:
    """What is aimed at: at least `value` of `unit`, or at most."""

    value: float
    unit: str
    at_most: bool = False

    def met(self, reached: float) -> bool:
        """Whether `reached` is good enough."""
        return reached <= self.value if self.at_most else reached >= self.value

    def __str__(self) -> str:
        return f"{'<=' if self.at_most else '>='} {self.value:,g} {self.unit}"


@dataclass(slots=True)
class Result:
    """What a workload reached. figures: by name with unit; notes: what limits its meaning; faults: broken promises."""

    workload: str
    title: str
    reached: float | None
    aim: Aim | None
    figures: dict[str, float | None] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


def keeps_up(window: Window, rate: float, connections: int) -> bool:
    """Whether everything offered was delivered at once, one event per write."""
    together = window.events_per_write
    return window.delivered >= SUSTAINED * rate * connections and together is not None and together <= SEPARATE


def figures(window: Window) -> dict[str, float | None]:
    """What every workload with deliveries tells."""
    return {
        "events published/s": window.published,
        "deliveries/s": window.delivered,
        "edge CPU us per delivery": window.cpu_us,
        "events per write": window.events_per_write,
        "latency p50, ms": window.latency_ms(50),
        "latency p99, ms": window.latency_ms(99),
        "edge CPU, share of its core": window.cpu,
        "edge waited for its core, share of the time": window.waited,
        "busiest reader's CPU, share of a core": window.reader_cpu,
    }


def limits(windows: Sequence[tuple[float, Window]]) -> list[str]:
    """What may have limited a rate other than the edge."""
    notes = []
    if (waited := max(window.waited for _, window in windows)) > 0.05:
        notes.append(f"other work kept the edge from its core {waited:.0%} of the time: rates are too low")
    if (reader := max(window.reader_cpu for _, window in windows)) > 0.9:
        notes.append(f"the readers used {reader:.0%} of their core and may have been the limit; try --readers")
    if (kept := min(window.published / rate for rate, window in windows)) < SUSTAINED:
        notes.append(f"the publisher reached only {kept:.0%} of its rate")
    return notes
