"""What is told while one waits: without a terminal a line for a phase and every five seconds, with one a picture."""

import io

from rich.console import Console

from loadtest.display import Display, curve
from loadtest.kills import Mark
from tests.unit.loadtest.outcomes import point, scenario


def shown(*, terminal: bool) -> str:
    out = io.StringIO()
    console = Console(file=out, force_terminal=terminal, width=120, color_system=None)
    with Display(console, "made", scenario()) as display:
        display.phase("opening 100 streams")
        display.sample(point(1.0, p99_ms=None))
        display.phase("50 events/s")
        for second in range(2, 12):
            display.sample(point(float(second)))
        display.mark(Mark(6.2, "pod 1: SIGKILL"))
    return out.getvalue()


def test_lines_where_there_is_no_terminal() -> None:
    lines = shown(terminal=False).splitlines()
    assert lines[0] == "made: opening 100 streams"
    assert lines[1] == "made: 50 events/s"
    assert [line.split(":")[1].strip() for line in lines[2:4]] == ["5 s", "10 s"]
    assert lines[2] == (
        "made:    5 s: 100 of 100 streams, 50 events/s, 5,000 deliveries/s, p99 9.0 ms, "
        "pod 0 25% CPU 40 MiB, pod 1 away"
    )
    assert lines[4] == "made:    6 s: pod 1: SIGKILL"
    assert len(lines) == 5


def test_a_picture_on_a_terminal() -> None:
    picture = shown(terminal=True)
    for part in ("made: 50 events/s", "deliveries/s", "5,000", "pod 1", "away", "6.2 s  pod 1: SIGKILL", "5.0 MiB"):
        assert part in picture


def test_a_curve_is_as_high_as_its_highest_value() -> None:
    assert curve([0, 1, 2]) == " ▄█"
    assert curve([0, 0]) == "  "
    assert curve(list(range(100)), width=3)[-1] == "█"
    assert len(curve(list(range(100)), width=3)) == 3
