"""What came of each attack: a pytest plugin that remembers, and the table that a person sees."""

from collections.abc import Iterable
from typing import Any

import pytest
from rich.console import Console
from rich.table import Table

from tests.security.attacks import ROWS, Row


class Outcomes:
    """How often each attack was tried, and what came where it was not refused as expected."""

    def __init__(self) -> None:
        self.tries: dict[str, int] = {row.attack: 0 for row in ROWS}
        self.came: dict[str, list[str]] = {row.attack: [] for row in ROWS}
        self._rows: dict[str, tuple[str, ...]] = {}

    def pytest_itemcollected(self, item: pytest.Item) -> None:
        """Which rows this test is for."""
        self._rows[item.nodeid] = rows_of(item)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count the call; keep what failed, in whatever phase: an error in the log fails the teardown."""
        for row in self._rows.get(report.nodeid, ()):
            self.tries[row] += report.when == "call"
            if report.outcome != "passed":
                self.came[row].append(f"{report.nodeid.rpartition('::')[2]}: {_last_words(report)}")

    def refused(self, row: Row) -> bool:
        """Whether the attack was tried, and every time answered as expected."""
        return bool(self.tries[row.attack]) and not self.came[row.attack]

    @property
    def good(self) -> bool:
        """Whether all were."""
        return all(map(self.refused, ROWS))


def rows_of(item: pytest.Item) -> tuple[str, ...]:
    """The attacks that a test tries: those of its marks, and those that name it in the list."""
    marked = [name for mark in item.iter_markers("attack") for name in mark.args]
    function = item.nodeid.partition("[")[0]
    return tuple(dict.fromkeys([*marked, *(row.attack for row in ROWS if function in row.tests)]))


def show(outcomes: Outcomes, console: Console) -> None:
    """The table, then what was not refused and what it would give, then the counts."""
    view = Table(title="attacks", title_justify="left")
    for name in ("", "attack", "expected", "tries", "answer"):
        view.add_column(name, justify="right" if name == "tries" else "left", overflow="fold")
    for theme, rows in _themes(ROWS):
        for number, row in enumerate(rows):
            answer = "[green]refused[/]" if outcomes.refused(row) else "[red]NOT REFUSED[/]"
            tries = str(outcomes.tries[row.attack])
            view.add_row("" if number else f"[bold]{theme}[/]", row.attack, row.expected, tries, answer)
        view.add_section()
    console.print(view)
    for row in ROWS:
        if not outcomes.refused(row):
            console.print(f"[red]NOT REFUSED[/] {row.attack}: {row.gains}", highlight=False)
            for came in outcomes.came[row.attack] or ["it was not tried"]:
                console.print(f"  {came}", markup=False, highlight=False, soft_wrap=True)
    bad = sum(not outcomes.refused(row) for row in ROWS)
    console.print(
        f"{len(ROWS)} attacks, {sum(outcomes.tries.values())} tries: {len(ROWS) - bad} refused as expected, {bad} not"
    )


def _themes(rows: Iterable[Row]) -> list[tuple[str, list[Row]]]:
    themes: dict[str, list[Row]] = {}
    for row in rows:
        themes.setdefault(row.theme, []).append(row)
    return list(themes.items())


def _last_words(report: pytest.TestReport) -> str:
    crash: Any = getattr(report.longrepr, "reprcrash", None)
    text = str(crash.message if crash is not None else report.longrepr)
    return f"{report.when} {report.outcome}: {text.splitlines()[0][:300] if text else ''}"
