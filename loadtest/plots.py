"""The plots of a report, PNG files. The only module that imports matplotlib, which takes a second to load."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from loadtest.latency import Histogram
from loadtest.outcome import Outcome
from loadtest.report import number

PLOTS: Final = ("throughput.png", "latency.png", "connections.png", "pods.png")
"""The files, in the order of the report."""

_WIDTH: Final = 9.0
"""Inches: 1,800 pixels, twice what a page shows, so that a screen with a fine grid has something to draw."""

_DPI: Final = 200
_INK: Final = "#222222"
_QUIET: Final = "#8a8f98"
_GRID: Final = "#e6e8eb"
_LINES: Final = ("#2563eb", "#f97316", "#16a34a", "#9333ea", "#db2777", "#0891b2", "#ca8a04", "#64748b")
_AWAY: Final = "#dc2626"
_BACK: Final = "#c3c8d0"
_DASHES: Final = (0, (4, 3))
_MIB: Final = 1024 * 1024
_EMPTY: Final = (0.1, 1_000)
"""Milliseconds that are shown where nothing was measured."""

_PERCENTS: Final = (50, 90, 99, 99.9)
_STYLE: Final[dict[Any, Any]] = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "axes.edgecolor": _QUIET,
    "axes.labelcolor": _INK,
    "axes.titlesize": 11.5,
    "axes.titleweight": "bold",
    "axes.titlecolor": _INK,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "lines.linewidth": 1.8,
    "legend.frameon": False,
}


def draw(outcome: Outcome, folder: Path) -> list[Path]:
    """Write all plots into an existing folder."""
    with mpl.rc_context(_STYLE):
        figures = (_throughput(outcome), _latency(outcome), _connections(outcome), _pods(outcome))
        paths = []
        for name, figure in zip(PLOTS, figures, strict=True):
            figure.savefig(folder / name, format="png")
            paths.append(folder / name)
    return paths


def _axes(rows: int, height: float) -> tuple[Figure, list[Axes]]:
    """Plots above one another."""
    figure = Figure(figsize=(_WIDTH, height), dpi=_DPI, layout=ConstrainedLayoutEngine(h_pad=0.12, hspace=0.04))
    FigureCanvasAgg(figure)  # It draws into memory: there is no display, and no global state of pyplot.
    axes = [figure.add_subplot(rows, 1, row + 1) for row in range(rows)]
    return figure, axes


def _finish(axes: Axes, outcome: Outcome, title: str, unit: str) -> None:
    """A plot over time: title, units, a quiet grid, and what was done when."""
    axes.set_title(title, pad=16)
    axes.set_ylabel(unit)
    axes.set_xlabel("seconds since the first connection")
    top = float(axes.dataLim.y1)
    axes.set_ylim(0, 1.12 * top if math.isfinite(top) and top > 0 else 1)
    axes.set_xlim(0, max([outcome.measured.end, *(point.at for point in outcome.samples)]))
    axes.grid(axis="y", color=_GRID)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.axvspan(outcome.measured.begin, outcome.measured.end, color="#f4f6fa", zorder=0)
    axes.annotate(
        "measured",
        (outcome.measured.begin, 1),
        xycoords=("data", "axes fraction"),
        xytext=(3, 2),
        textcoords="offset points",
        color=_QUIET,
        fontsize=8,
    )
    for mark in outcome.marks:
        color = _BACK if mark.text.endswith("back") else _AWAY
        axes.axvline(mark.at, color=color, linewidth=1, linestyle=_DASHES, zorder=0.5)


def _logarithmic(axis: Axis) -> None:
    """Names at 1, 2 and 5 of each power of ten, written out; without data there is nothing to name."""
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axis.set_minor_formatter(NullFormatter())


def _legend(axes: Axes) -> None:
    """At the right end of the title's line, where it hides nothing."""
    names = len(axes.get_legend_handles_labels()[1])
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), borderaxespad=0, ncols=names, fontsize=9, handlelength=1.4)


def _name_marks(axes: Axes, outcome: Outcome) -> None:
    """Write beside each line what was done."""
    for mark in outcome.marks:
        back = mark.text.endswith("back")  # Often something else is done just then: it stands on the other side.
        axes.annotate(
            mark.text,
            (mark.at, 0.04),
            xycoords=("data", "axes fraction"),
            xytext=(-3 if back else 3, 0),
            textcoords="offset points",
            rotation=90,
            ha="right" if back else "left",
            va="bottom",
            fontsize=8,
            zorder=5,
            color=_QUIET if back else _AWAY,
        )


def _throughput(outcome: Outcome) -> Figure:
    figure, (above, below) = _axes(2, 6.0)
    times = [point.at for point in outcome.samples]
    above.plot(times, [point.published for point in outcome.samples], color=_LINES[0])
    above.axhline(outcome.scenario.rate, color=_QUIET, linewidth=1, linestyle=":")
    _finish(above, outcome, "Events published (dotted: the scenario's rate)", "events/s")
    below.plot(times, [point.delivered for point in outcome.samples], color=_LINES[1])
    if aim := outcome.scenario.aims.deliveries_per_second:
        below.axhline(aim, color=_QUIET, linewidth=1, linestyle=":")
    title = "Events delivered to all streams together" + (" (dotted: the least aimed at)" if aim else "")
    _finish(below, outcome, title, "deliveries/s")
    return figure


def _connections(outcome: Outcome) -> Figure:
    figure, (above, below) = _axes(2, 6.0)
    times = [point.at for point in outcome.samples]
    above.plot(times, [point.live for point in outcome.samples], color=_LINES[2])
    above.fill_between(times, [point.live for point in outcome.samples], color=_LINES[2], alpha=0.12, linewidth=0)
    _finish(above, outcome, "Live streams", "streams")
    _name_marks(above, outcome)
    below.plot(times, [point.came for point in outcome.samples], color=_LINES[0], label="opened")
    below.plot(times, [point.left for point in outcome.samples], color=_LINES[1], label="ended")
    _finish(below, outcome, "Streams that were opened and that ended", "streams/s")
    _legend(below)
    return figure


def _pods(outcome: Outcome) -> Figure:
    figure, (cpu, memory, sockets) = _axes(3, 8.0)
    times = [point.at for point in outcome.samples]
    for pod in range(outcome.scenario.pods):
        loads = [point.pods[pod] for point in outcome.samples]
        color, label = _LINES[pod % len(_LINES)], f"pod {pod}"
        cpu.plot(times, [math.nan if one is None else 100 * one.cpu for one in loads], color=color, label=label)
        memory.plot(times, [math.nan if one is None else one.memory / _MIB for one in loads], color=color, label=label)
    nats = [point.nats for point in outcome.samples]
    nats_cpu = [math.nan if one is None else 100 * one.cpu for one in nats]
    cpu.plot(times, nats_cpu, color=_QUIET, linewidth=1.2, label="nats-server")
    _finish(cpu, outcome, "Processor time (the pods share one core)", "% of a core")
    _finish(memory, outcome, "Memory of each pod", "MiB (Pss)")
    sockets.plot(times, [point.sockets / _MIB for point in outcome.samples], color=_LINES[3])
    _finish(sockets, outcome, "In the buffers of all TCP sockets of the machine", "MiB")
    _legend(cpu)
    _legend(memory)
    return figure


def _latency(outcome: Outcome) -> Figure:
    figure, (shape, time) = _axes(2, 6.5)
    found = outcome.measured.done.inspected.latency
    bars = buckets(found)
    shape.bar(
        [low for low, _, _ in bars],
        [share for _, _, share in bars],
        width=[high - low for low, high, _ in bars],
        align="edge",
        color=_LINES[0],
        alpha=0.75,
        linewidth=0,
    )
    shape.set_xscale("log")
    shape.set_title("Latency, from just before the publish to the client's read", pad=16)
    shape.set_xlabel("milliseconds (logarithmic)")
    shape.set_ylabel("% of deliveries")
    shape.grid(axis="y", color=_GRID)
    _logarithmic(shape.xaxis)
    for row, percent in enumerate(_PERCENTS):
        if (at := found.percentile(percent)) is not None:
            shape.axvline(at / 1e6, color=_AWAY, linewidth=1, linestyle=_DASHES)
            shape.annotate(
                f"p{percent:g}  {number(at / 1e6)} ms",
                (at / 1e6, 0.94 - 0.11 * row),
                xycoords=("data", "axes fraction"),
                xytext=(5, 0),
                textcoords="offset points",
                fontsize=8.5,
                color=_AWAY,
                bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 1.5},
            )
    shape.margins(x=0.2)
    times = [point.at for point in outcome.samples]
    time.plot(times, [math.nan if one.p50_ms is None else one.p50_ms for one in outcome.samples], label="p50")
    time.plot(times, [math.nan if one.p99_ms is None else one.p99_ms for one in outcome.samples], label="p99")
    for drawn, color in zip(time.lines, _LINES, strict=False):
        drawn.set_color(color)
    _finish(time, outcome, "Latency in each second", "milliseconds (logarithmic)")
    time.set_yscale("log")
    time.autoscale(axis="y")
    if not bars:
        shape.set_xlim(*_EMPTY)
        time.set_ylim(*_EMPTY)
    _logarithmic(time.yaxis)
    _legend(time)
    return figure


def buckets(found: Histogram, steps: int = 24) -> list[tuple[float, float, float]]:
    """Begin and end in ms and percent of each bar of a histogram whose bars are equally wide on a log axis.

    steps: bars for each power of ten.
    """
    counts: dict[int, int] = {}
    for ns, count in found.items():
        place = math.floor(math.log10(max(ns, 1.0) / 1e6) * steps)
        counts[place] = counts.get(place, 0) + count
    total = sum(counts.values())
    return [
        (10 ** (place / steps), 10 ** ((place + 1) / steps), 100 * counts[place] / total) for place in sorted(counts)
    ]
