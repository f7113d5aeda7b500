"""The results as a table for people and as JSON for programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table

from loadtest.result import Result


def verdict(result: Result) -> str:
    """Faults first; then the aim, and how near a missed one was."""
    if result.faults:
        return "FAULTY"
    if result.aim is None or result.reached is None:
        return "-"
    if result.aim.met(result.reached):
        return "reached"
    return f"missed ({result.reached / result.aim.value:.0%} of it)"


def show(console: Console, conditions: Mapping[str, str], results: Sequence[Result]) -> None:
    """Print all figures, then aims and what was reached, then the conditions."""
    for result in results:
        console.print(_figures(result))
        for note in result.notes:
            console.print(f"  note: {note}", style="yellow", highlight=False)
        for fault in result.faults:
            console.print(f"  FAULT: {fault}", style="bold red", highlight=False)
    summary = Table("workload", "aim", "reached", "", title="Aims")
    for result in results:
        aim = str(result.aim) if result.aim else "-"
        summary.add_row(result.title, aim, number(result.reached), verdict(result))
    console.print(summary)
    for name, text in conditions.items():
        console.print(f"{name + ':':14}{text}", highlight=False, soft_wrap=True)


def document(conditions: Mapping[str, str], results: Sequence[Result]) -> dict[str, Any]:
    """Everything as JSON values."""
    return {
        "conditions": dict(conditions),
        "results": [asdict(result) | {"verdict": verdict(result)} for result in results],
    }


def number(value: float | None) -> str:
    """Three digits that count, or all digits of a large number."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _figures(result: Result) -> Table:
    table = Table(title=f"{result.workload}: {result.title}", show_header=False, title_justify="left")
    table.add_column()
    table.add_column(justify="right")
    for name, value in result.figures.items():
        table.add_row(name, number(value))
    return table
