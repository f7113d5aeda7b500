"""The one table at the end of a run."""

from collections.abc import Sequence

from rich.table import Table

from tests.faults.result import Injection, Result

COLUMNS = ("lost", "duplicated", "out of\norder", "untold", "wrongly\ntold", "corrupted", "foreign", "broken", "told")


def table(result: Result) -> Table:
    """A row for each fault, and one for all; what must be 0 is red where it is not, and what was late is marked."""
    view = Table(title=f"chaos, seed {result.seed}")
    view.add_column("fault", no_wrap=True)
    for name in ("times", "client\npause, s", "publisher\npause, s", "recovery,\ns", "promised,\ns", *COLUMNS):
        view.add_column(name, justify="right")
    rows: dict[str, list[Injection]] = {}
    for one in result.injections:
        rows.setdefault(one.step.name, []).append(one)
    for name in sorted(rows, key=lambda name: ("+" in name, name)):
        view.add_row(name, *_row(rows[name]))
    view.add_section()
    verdict = result.verdict
    broken = result.broken + len(result.problems) + sum(len(one.violations) for one in result.injections)
    view.add_row(
        "all readers, whole run",
        str(len(result.injections)),
        f"{max((one.client_pause for one in result.injections), default=0.0):.1f}",
        f"{max((one.publisher_pause for one in result.injections), default=0.0):.1f}",
        f"{max((one.took for one in result.injections), default=0.0):.1f}",
        "",
        *_counts(verdict.lost, verdict.duplicated, verdict.out_of_order, verdict.untold, verdict.gaps),
        *_counts(verdict.corrupted, verdict.foreign, broken),
        str(verdict.told),
    )
    return view


def lateness(result: Result) -> list[str]:
    """A line for each promised time that was missed."""
    return [
        f"{one.step.name} was late: {one.took:.1f} s, promised were {one.promised:g} s; "
        + (f"a publisher {one.publisher_pause:.1f} s" if one.publisher_pause > one.recovery else one.why)
        for one in result.injections
        if one.late
    ]


def _row(steps: Sequence[Injection]) -> list[str]:
    def total(name: str) -> int:
        return sum(getattr(one.verdict, name) for one in steps)

    return [
        str(len(steps)),
        f"{max(one.client_pause for one in steps):.1f}",
        f"{max(one.publisher_pause for one in steps):.1f}",
        *_promise(steps),
        *_counts(*map(total, ("lost", "duplicated", "out_of_order", "untold", "gaps", "corrupted", "foreign"))),
        *_counts(sum(len(one.violations) for one in steps)),
        str(total("told")),
    ]


def _promise(steps: Sequence[Injection]) -> tuple[str, str]:
    """The longest time without the client's own retry, and what was promised."""
    took, promised = max(one.took for one in steps), steps[0].promised
    if promised is None:
        return f"{took:.1f}", ""
    return (f"[yellow]LATE {took:.1f}[/]" if took > promised else f"{took:.1f}"), f"{promised:g}"


def _counts(*values: int) -> list[str]:
    return [str(value) if value == 0 else f"[red]{value:,}[/]" for value in values]
