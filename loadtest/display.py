"""What the person who waits for a load test sees: figures that move on a terminal, else a line now and then."""

from __future__ import annotations

from typing import Final, Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from loadtest.kills import Mark
from loadtest.sample import Load, Sample
from loadtest.scenario import Scenario

_EVERY_SECONDS: Final = 5.0
_MIB: Final = 1024 * 1024
_BARS: Final = " ▁▂▃▄▅▆▇█"
_CURVE: Final = 60
_MARKS: Final = 4


def curve(values: list[float], width: int = _CURVE) -> str:
    """The last values as bars, the highest being the whole height."""
    shown = values[-width:]
    top = max(shown, default=0.0)
    return "".join(_BARS[round(value / top * (len(_BARS) - 1))] if top > 0 else _BARS[0] for value in shown)


def line(point: Sample, scenario: Scenario) -> str:
    """A second in words."""
    latency = "-" if point.p99_ms is None else f"{point.p99_ms:.1f} ms"
    return (
        f"{point.at:4.0f} s: {point.live:,} of {scenario.connections:,} streams, {point.published:,.0f} events/s, "
        f"{point.delivered:,.0f} deliveries/s, p99 {latency}, {', '.join(_pods(point))}"
    )


def _pods(point: Sample) -> list[str]:
    return [f"pod {number} {_load(load)}" for number, load in enumerate(point.pods)]


def _load(load: Load | None) -> str:
    return "away" if load is None else f"{load.cpu:.0%} CPU {load.memory / _MIB:.0f} MiB"


class Display:
    """Shows phases, samples and marks as they come. Use it as a context manager."""

    def __init__(self, console: Console, name: str, scenario: Scenario) -> None:
        self._console = console
        self._name = name
        self._scenario = scenario
        self._phase = "starting"
        self._began: float | None = None
        self._said = 0.0
        self._points: list[Sample] = []
        self._marks: list[Mark] = []
        # Redrawn when there is news: a thread that draws on its own would take time from what is measured.
        self._live = Live(console=console, auto_refresh=False, transient=True) if console.is_terminal else None

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def phase(self, name: str) -> None:
        """What is done from now on."""
        self._phase = name
        # Only the phase of publishing has a known length.
        self._began = self._points[-1].at if self._points and name.endswith("events/s") else None
        self._draw() if self._live else self._say(name)

    def sample(self, point: Sample) -> None:
        """What happened in the last second."""
        self._points.append(point)
        if self._live:
            self._draw()
        elif point.at - self._said >= _EVERY_SECONDS - 0.5:
            self._said = point.at
            self._say(line(point, self._scenario))

    def mark(self, mark: Mark) -> None:
        """Something was done to a server."""
        self._marks.append(mark)
        self._draw() if self._live else self._say(f"{mark.at:4.0f} s: {mark.text}")

    def _say(self, text: str) -> None:
        self._console.print(f"{self._name}: {text}", highlight=False, markup=False, soft_wrap=True)

    def _draw(self) -> None:
        if self._live:
            self._live.update(self._picture(), refresh=True)

    def _picture(self) -> Group:
        parts: list[Text | ProgressBar | Table] = [Text(f"{self._name}: {self._phase}", style="bold")]
        if self._points:
            point = self._points[-1]
            if self._began is not None:
                parts.append(ProgressBar(self._scenario.seconds, point.at - self._began, width=_CURVE + 20))
            parts.append(self._table(point))
        parts += [Text(f"{mark.at:6.1f} s  {mark.text}", style="yellow") for mark in self._marks[-_MARKS:]]
        return Group(*parts)

    def _table(self, point: Sample) -> Table:
        table = Table(box=None, show_header=False, pad_edge=False)
        rows: dict[str, tuple[str, list[float]]] = {
            "published/s": (f"{point.published:,.0f}", [one.published for one in self._points]),
            "deliveries/s": (f"{point.delivered:,.0f}", [one.delivered for one in self._points]),
            "live streams": (f"{point.live:,}", [float(one.live) for one in self._points]),
            "p99, ms": (_ms(point.p99_ms), [one.p99_ms or 0.0 for one in self._points]),
        }
        for what, (value, values) in rows.items():
            table.add_row(what, Text(value, justify="right"), Text(curve(values), style="cyan"))
        for number, load in enumerate(point.pods):
            cpu = [0.0 if (one := each.pods[number]) is None else one.cpu for each in self._points]
            table.add_row(f"pod {number}", Text(_load(load), justify="right"), Text(curve(cpu), style="green"))
        table.add_row("in sockets", Text(f"{point.sockets / _MIB:.1f} MiB", justify="right"), "")
        return table


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"
