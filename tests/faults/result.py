"""The figures of a run, and which step of it they belong to. Pure."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from tests.faults.plan import Step
from tests.proof.checker import History, Verdict, place

FAR_TIMES: Final = 4
FAR_SECONDS: Final = 15.0
"""An election that comes in between takes up to 9 s, and other work on the machine as long as it likes."""


def far(promised: float) -> float:
    """The seconds after which no machine is so slow that a promise of `promised` seconds was kept."""
    return max(FAR_TIMES * promised, FAR_SECONDS)


@dataclass(slots=True)
class Injection:
    """What one step did. began, ended, calm: when it began, when it was undone, when every reader had caught up.

    bounds: by tenant, the highest number acknowledged when it was calm again: what came before it, and after the step
    before, is this step's. client_pause, slowest: the longest pause of a reader, and whose it was. recovery, why: the
    longest one without the reader's own retry, and what it was made of. promised: the most that it may be.
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
    recovery: float = 0.0
    why: str = ""
    publisher_pause: float = 0.0
    promised: float | None = None
    verdict: Verdict = field(default_factory=Verdict)

    @property
    def took(self) -> float:
        """Until everybody could read and publish again, a reader's own retry not counted."""
        return max(self.recovery, self.publisher_pause)

    @property
    def late(self) -> bool:
        """Whether a promised time was missed, which fails a run only where it was missed by far."""
        return self.promised is not None and self.took > self.promised


@dataclass(slots=True)
class Result:
    """All steps, and the verdict on all readers over the whole run.

    broken: acknowledgements that contradict each other. problems: what else must not be. missed: kinds that there was
    no time for. got: how many events were got by how they were read.
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
    got: Counter[str] = field(default_factory=Counter)

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
        History(history.name, history.filters, max(history.start, begin), [], end, history.newest)
        for begin, end in zip(starts, [*ends, history.end], strict=True)
    ]
    for item in history.items:
        where = place(item.id)
        if where is not None:
            parts[bisect_left(bounds, where[1])].items.append(item)
    return parts
