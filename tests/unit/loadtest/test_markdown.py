"""The report has its parts, its pictures, and the truth about what was not measured."""

from pathlib import Path

import orjson
from matplotlib.image import imread

from loadtest.markdown import document, text, write
from loadtest.outcome import Account, Established
from loadtest.plots import PLOTS, buckets
from loadtest.roamed import Roamed
from tests.unit.loadtest.outcomes import histogram, outcome

PARTS = [
    "# Load test: made",
    "## Aims",
    "## Events published and delivered",
    "## Latency",
    "## Live streams",
    "## Pods",
    "## The account",
    "## Opening connections",
    "## Conditions",
]


def rows(report: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in report.splitlines() if line[:1] == "|"]


def test_the_report_has_its_parts_in_order_and_shows_every_plot() -> None:
    report = text(outcome())
    assert [line for line in report.splitlines() if line.startswith("#")] == PARTS
    assert all(f"]({name})" in report for name in PLOTS)


def test_aims_are_in_a_table_with_what_was_reached() -> None:
    told = rows(text(outcome()))
    assert ["deliveries", ">= 4,000 deliveries/s", "5,000", "met"] in told
    assert ["latency, p99", "<= 20 ms", "8.98", "met"] in told
    assert ["events lost", "<= 0 events", "3", "**missed**"] in rows(text(outcome(account=Account(100, 50_000, 3, 0))))


def test_what_happened_is_told_with_its_time_and_the_scenario_with_its_kills() -> None:
    told = rows(text(outcome()))
    assert ["4.0", "pod 1: SIGKILL"] in told
    assert ["pod 1", "50%", "50%", "2%", "42.0 MiB"] in told
    assert ["after 3 s", "pod 1: SIGKILL; started again 1 s later"] in told
    assert ["10 readers of `slipstream.client`", "5,000", *"000", "0", "3", "1", "0", "4"] in told
    assert ["published again: no acknowledgement within 2 s", "2"] in told
    assert ["missed while away", "2", "401", "902", "902", "902", "902"] in told


def test_faults_and_remarks_stand_out() -> None:
    report = text(outcome(stored=501), ["`seconds` differs from the scenario's file"])
    assert "- **Fault: 1 events stored that were not acknowledged, or twice.**" in report
    assert "> `seconds` differs from the scenario's file." in report


def test_every_table_has_as_many_cells_in_each_row_as_in_its_head() -> None:
    width = 0
    for line in text(outcome()).splitlines():
        cells = line.count("|") - 1 if line.startswith("|") else 0
        assert not width or not cells or cells == width, line
        width = cells


def test_connections_that_were_not_measured_are_told() -> None:
    assert "Not measured in this run." in text(outcome(established=Established()))
    without = text(outcome(established=Established(100, 2_600.0)))
    assert "There is no `wrk` on this machine" in without


def test_the_document_is_json_and_has_the_series() -> None:
    made = orjson.loads(orjson.dumps(document(outcome())))
    assert made["published"]["again"] == {"no acknowledgement within 2 s": 2}
    assert len(made["samples"]) == 11
    assert made["samples"][3]["pods"][1] is None


def test_pictures_are_drawn_also_of_a_run_in_which_nothing_was_measured(tmp_path: Path) -> None:
    for name, one in (("full", outcome()), ("empty", outcome(samples=[], marks=[], done=Roamed()))):
        path = write(one, tmp_path / name)
        assert path.read_text().startswith("# Load test: made")
        for plot in PLOTS:
            height, width, _ = imread(tmp_path / name / plot).shape
            assert (width, height > 1_000) == (1_800, True)


def test_bars_are_equally_wide_on_a_log_axis_and_are_all_of_the_deliveries() -> None:
    bars = buckets(histogram(0.5, 0.5, 3, 1_000), steps=10)
    assert [round(share) for _, _, share in bars] == [50, 25, 25]
    assert all(0.999 < high / low / 10**0.1 < 1.001 for low, high, _ in bars)
    assert all(
        low <= value * 1.01 and value <= high * 1.01 for (low, high, _), value in zip(bars, (0.5, 3, 1e3), strict=True)
    )
