"""The comparison as tables for people and as JSON for programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Column, Table

from loadtest.peers.compare import (
    COMPARISONS,
    REFERENCE,
    Trial,
    Verdict,
    losses,
    middle,
    names,
    of,
    ratio,
    verdicts,
)
from loadtest.report import number

_MIB = 2**20


def show(
    console: Console, conditions: Mapping[str, str], results: Mapping[str, Sequence[Trial]], titles: Mapping[str, str]
) -> None:
    """For each workload what was reached, the ratios, and where Slipstream is behind; then the aims."""
    told: list[Verdict] = []
    for workload, trials in results.items():
        console.print(_figures(f"{workload}: {titles[workload]}", trials))
        console.print(_ratios(trials))
        for loss in losses(trials):
            console.print(f"  behind: {loss}", style="yellow", highlight=False)
        for note in notes(trials):
            console.print(f"  note: {note}", style="yellow", highlight=False, soft_wrap=True)
        told += verdicts(workload, trials, "c-send-loop")
    summary = Table("aim", "found", "", title="Aims")
    for verdict in told:
        summary.add_row(verdict.aim, verdict.found, _judged(verdict))
    console.print(summary)
    for name, text in conditions.items():
        console.print(f"{name + ':':14}{text}", highlight=False, soft_wrap=True)


def document(conditions: Mapping[str, str], results: Mapping[str, Sequence[Trial]]) -> dict[str, Any]:
    """Everything as JSON values."""
    return {
        "conditions": dict(conditions),
        "trials": [asdict(trial) for trials in results.values() for trial in trials],
        "ratios": {
            workload: {
                name: {each.title: ratio(of(trials, REFERENCE), of(trials, name), each) for each in COMPARISONS}
                for name in names(trials)
                if name != REFERENCE
            }
            for workload, trials in results.items()
        },
        "aims": [
            asdict(verdict)
            for workload, trials in results.items()
            for verdict in verdicts(workload, trials, "c-send-loop")
        ],
    }


def notes(trials: Sequence[Trial]) -> list[str]:
    """What limits the meaning of the figures, in words."""
    told = []
    for name in names(trials):
        mine = of(trials, name)
        told += [f"{name}: {trial.failure}" for trial in mine if trial.failure]
        running = [trial for trial in mine if not trial.failure]
        if not running:
            continue
        if (waited := max(trial.waited for trial in running)) > 0.05:
            told.append(f"{name}: other work kept it from its core {waited:.0%} of the time: its rates are too low")
        if (share := min(trial.delivered / trial.offered for trial in running)) < 0.98:
            told.append(f"{name}: delivered {share:.0%} of what was offered; its latency is that of a growing queue")
        if wrong := [trial.lost for trial in running if trial.lost]:
            told.append(f"{name}: events lost (or, below 0, too many): {', '.join(map(str, wrong))}")
    return told


def _figures(title: str, trials: Sequence[Trial]) -> Table:
    table = Table(
        *(
            "",
            "deliveries/s",
            "p50, ms",
            "p99, ms",
            "CPU us/delivery",
            "with its helpers",
            "CPU",
            "MiB",
            "events/write",
        ),
        title=title,
        title_justify="left",
        caption="medians of the rounds",
    )
    for name in names(trials):
        mine = of(trials, name)
        cpu, memory = middle(mine, lambda each: each.cpu), middle(mine, lambda each: each.memory)
        table.add_row(
            name,
            number(middle(mine, lambda each: each.delivered)),
            number(middle(mine, lambda each: each.p50)),
            number(middle(mine, lambda each: each.p99)),
            number(middle(mine, lambda each: each.cpu_us)),
            number(middle(mine, lambda each: each.all_cpu_us)),
            "-" if cpu is None else f"{cpu:.0%}",
            "-" if memory is None else number(memory / _MIB),
            number(middle(mine, lambda each: each.per_write)),
        )
    return table


def _ratios(trials: Sequence[Trial]) -> Table:
    table = Table(
        Column("slipstream : peer", no_wrap=True),
        *(each.title for each in COMPARISONS),
        caption="above 1 Slipstream is ahead",
    )
    ours = of(trials, REFERENCE)
    for name in names(trials):
        if name != REFERENCE:
            table.add_row(name, *(_times(ratio(ours, of(trials, name), each)) for each in COMPARISONS))
    return table


def _times(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _judged(verdict: Verdict) -> str:
    return {True: "reached", False: "missed", None: "not told by this run"}[verdict.met]
