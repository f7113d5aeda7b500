"""The figures of a run, and which step of it they belong to. Pure."""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.faults.plan import Step
from tests.proof.checker import History, Verdict, place


@dataclass(slots=True)
class Injection:
    """What one step did. began, ended, calm: when it began, when it was undone, when every reader had caught up.

    bounds: by tenant, the highest number acknowledged when it was calm again: what came before it, and after the step
    before, is this step's.
    """

    step: Step
    began: float
    ended: float = 0.0
    calm: float = 0.0
    notes: list[str] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    bounds: dict[str, int] = field(default_factory=dict)
    client_pause: float = 0.0
    slowest: str = ""
    publisher_pause: float = 0.0
    verdict: Verdict = field(default_factory=Verdict)


@dataclass(slots=True)
class Result:
    """All steps, and the verdict on all readers over the whole run.

    rest: of the verdict, what no step has, as before the first. broken: acknowledgements that contradict each other.
    problems: what else must not be. missed: kinds that there was no time for.
    """

    seed: int
    injections: list[Injection] = field(default_factory=list)
    verdict: Verdict = field(default_factory=Verdict)
    events: int = 0
    unknown: int = 0
    broken: int = 0
    readers: int = 0
    problems: list[str] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Whether every promise was kept, and something was promised at all."""
        broken = self.broken or self.problems or self.missed or any(one.violations for one in self.injections)
        return self.verdict.clean and self.verdict.deliveries > 0 and not broken


def windows(history: History, bounds: Sequence[int]) -> list[History]:
    """A history cut by the numbers of its events: behind each of the ascending bounds begins another part.

    The order is judged within each part only: the whole history is judged besides.
    """
    starts = [0, *bounds]
    ends = [bound if history.end is None else min(bound, history.end) for bound in bounds]
    parts = [
        History(history.name, history.filters, max(history.start, begin), [], end)
        for begin, end in zip(starts, [*ends, history.end], strict=True)
    ]
    for item in history.items:
        where = place(item.id)
        if where is not None:
            parts[bisect_left(bounds, where[1])].items.append(item)
    return parts
