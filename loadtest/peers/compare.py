"""What the peers reached, beside one another: medians over the rounds of one run, and the ratios of those. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Final

CALM: Final = 0.1
"""The share of its core that a peer may have waited for, because of other work, for its rate to be its own."""

REFERENCE: Final = "slipstream"
NOISE: Final = 1.05
"""Ratios up to this are called equal: two rounds on a machine with other work do not tell more."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One peer, once, under one load.

    offered: deliveries a second, had every event reached every stream at once; published: events a second that the
    peer took. Times in ms, memory in bytes (PSS). cpu_us: of the process that writes to the streams, for each
    delivery; all_cpu_us: with those that it cannot do without. cpu, waited: shares of its core that it used, and that
    others kept it from. per_write: events that came with one write. lost: events that did not arrive although they
    were waited for; None where they were not. failure: why there are no figures.
    """

    peer: str
    workload: str
    offered: float = 0.0
    published: float = 0.0
    delivered: float = 0.0
    p50: float | None = None
    p99: float | None = None
    cpu_us: float | None = None
    all_cpu_us: float | None = None
    memory: float = 0.0
    cpu: float = 0.0
    waited: float = 0.0
    per_write: float | None = None
    lost: int | None = None
    failure: str = ""


Figure = Callable[[Trial], float | None]


@dataclass(frozen=True, slots=True)
class Comparison:
    """One figure by which peers are compared. least: the smaller, the better."""

    title: str
    of: Figure
    least: bool


COMPARISONS: Final = (
    Comparison("deliveries/s", lambda trial: trial.delivered, least=False),
    Comparison("latency p50", lambda trial: trial.p50, least=True),
    Comparison("latency p99", lambda trial: trial.p99, least=True),
    Comparison("CPU per delivery", lambda trial: trial.all_cpu_us, least=True),
    Comparison("memory", lambda trial: trial.memory, least=True),
)


def middle(trials: Sequence[Trial], of: Figure) -> float | None:
    """The median of a figure over the trials that have it; None where none has."""
    values = [value for trial in trials if not trial.failure and (value := of(trial)) is not None]
    return median(values) if values else None


def ratio(ours: Sequence[Trial], theirs: Sequence[Trial], comparison: Comparison) -> float | None:
    """How many times better we are: above 1 Slipstream is ahead, below it is behind; None where it cannot be said."""
    mine, other = middle(ours, comparison.of), middle(theirs, comparison.of)
    if not mine or not other:
        return None
    return other / mine if comparison.least else mine / other


def losses(trials: Sequence[Trial]) -> list[str]:
    """In words, where a peer is ahead of Slipstream by more than noise; `trials` are of one workload."""
    ours = of(trials, REFERENCE)
    told = []
    for name in names(trials):
        for comparison in COMPARISONS:
            found = ratio(ours, of(trials, name), comparison)
            if name != REFERENCE and found is not None and found < 1 / NOISE:
                told.append(f"{name} is ahead in {comparison.title}: {1 / found:.2f} times")
    return told


def of(trials: Sequence[Trial], peer: str) -> list[Trial]:
    """The trials of one peer."""
    return [trial for trial in trials if trial.peer == peer]


def names(trials: Sequence[Trial]) -> list[str]:
    """The peers, in the order of their first trials."""
    return list(dict.fromkeys(trial.peer for trial in trials))


@dataclass(frozen=True, slots=True)
class Verdict:
    """One aim: what was wanted and what was found; met is None where the run cannot tell."""

    aim: str
    found: str
    met: bool | None


def verdicts(workload: str, trials: Sequence[Trial], baseline: str) -> list[Verdict]:
    """The aims of a workload against its trials."""
    ours, nchan = of(trials, REFERENCE), of(trials, "nchan")
    if workload in ("burst", "flood"):
        rate = middle(ours, lambda trial: trial.delivered)
        lead = _at_least(f"{workload}: times nchan's deliveries/s", ratio(ours, nchan, COMPARISONS[0]), 10)
        return [_at_least(f"{workload}: deliveries/s", rate, 900_000), _if_calm(lead, nchan)]
    if workload == "classic":
        p99 = middle(ours, lambda trial: trial.p99)
        return [
            _at_most("classic: p99, ms", p99, 180),
            _if_calm(
                _at_most("classic: p99, ms, no more than nchan's", p99, middle(nchan, lambda trial: trial.p99)),
                [*ours, *nchan],
            ),
        ]
    cost = middle(ours, lambda trial: trial.cpu_us)
    floor = middle(of(trials, baseline), lambda trial: trial.cpu_us)
    times = cost / floor if cost and floor else None
    return [_at_most("single: CPU of the edge, times a C send loop's", times, 1.6)]


def _if_calm(verdict: Verdict, trials: Sequence[Trial]) -> Verdict:
    """Other work on the machine slows down whoever needs all of its core: then nothing is said of who is better."""
    waited = middle(trials, lambda trial: trial.waited)
    if waited is None or waited <= CALM:
        return verdict
    return replace(verdict, found=f"{verdict.found}, but others had {waited:.0%} of the core", met=None)


def _at_least(what: str, found: float | None, aim: float) -> Verdict:
    return Verdict(f"{what} >= {aim:,g}", _text(found), None if found is None else found >= aim)


def _at_most(what: str, found: float | None, aim: float | None) -> Verdict:
    wanted = f"{what} <= {_text(aim)}"
    return Verdict(wanted, _text(found), None if found is None or aim is None else found <= aim)


def _text(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
