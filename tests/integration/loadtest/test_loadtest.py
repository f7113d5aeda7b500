"""The command on real servers, a few seconds of it: nothing is lost through churn and a kill, and there is a report."""

from pathlib import Path
from typing import Any

import orjson
import pytest

from loadtest.__main__ import main
from loadtest.plots import PLOTS
from loadtest.scenario import names

pytestmark = [pytest.mark.alone, pytest.mark.timeout(120)]

KILLED = """
description: A pod is killed while readers come and go
pods: 2
connections: 60
topics: {count: 6, each: shared, subset: 2}
rate: 100
size: [{bytes: 200, weight: 3}, {bytes: 3000}]
seconds: 3
settle: 0.5
churn: {per_second: 10, away: 0.2}
kills: [{at: 1, what: edge, pod: 0, back: 0.5}]
settings: {RETRY_MS: 1000}
"""

DRAINED = """
description: A pod is told to go
pods: 2
connections: 60
rate: 50
seconds: 3
settle: 0.5
kills: [{at: 1, what: drain, pod: 0, back: 3}]
settings: {RETRY_MS: 1000, DRAIN: 1, DRAIN_DELAY: 0}
aims: {broken: 0}
"""


def outcome(folder: Path) -> dict[str, object]:
    made: dict[str, object] = orjson.loads((folder / "outcome.json").read_bytes())
    return made


def test_the_smoke_scenario_loses_nothing_and_leaves_a_report(tmp_path: Path) -> None:
    options = ["--scenario", "smoke", "--seconds", "3", "--connections", "100", "--no-wrk", "--out", str(tmp_path)]
    assert main(options) == 0
    found = outcome(tmp_path)
    assert (found["faults"], found["reached"]["lost"], found["reached"]["duplicated"]) == ([], 0, 0)  # type: ignore[index]
    assert found["account"]["due"] > 1_000  # type: ignore[index]
    report = (tmp_path / "report.md").read_text()
    for part in ("## Aims", "## Latency", "## Live streams", "## Pods", "## The account", "## Conditions"):
        assert part in report
    assert "`seconds` differs from the scenario's file" in report
    assert all((tmp_path / name).stat().st_size > 10_000 for name in PLOTS)


def test_a_killed_pod_loses_nothing(tmp_path: Path) -> None:
    scenario = tmp_path / "killed.yaml"
    scenario.write_text(KILLED)
    assert main(["--scenario", str(scenario), "--no-wrk", "--out", str(tmp_path)]) == 0
    found = outcome(tmp_path)
    assert found["faults"] == []
    assert [mark["text"] for mark in found["marks"]] == ["pod 0: SIGKILL", "pod 0: back"]  # type: ignore[attr-defined]
    assert sum(found["ended"].values()) > 0, "nobody was on the pod that was killed"  # type: ignore[attr-defined]
    library: dict[str, Any] = found["library"]  # type: ignore[assignment]
    assert (library["clients"], library["lost"], library["repeated"], library["disordered"]) == (6, 0, 0, 0)
    assert library["due"] == library["events"] > 0
    assert library["ended"], "no reader of the client library was on the pod that was killed"


def test_readers_of_the_client_library_leave_a_pod_that_drains_and_come_back(tmp_path: Path) -> None:
    scenario = tmp_path / "drained.yaml"
    scenario.write_text(DRAINED)
    assert main(["--scenario", str(scenario), "--no-wrk", "--out", str(tmp_path)]) == 0
    found = outcome(tmp_path)
    assert (found["faults"], found["reached"]["broken"]) == ([], 0)  # type: ignore[index]
    library: dict[str, Any] = found["library"]  # type: ignore[assignment]
    assert library["ended"] == {"end of stream": 3}
    assert (library["returned"], library["lost"], library["repeated"]) == (3, 0, 0)
    assert "| 6 readers of `slipstream.client` |" in (tmp_path / "report.md").read_text()


def test_what_cannot_be_run_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--scenario", "smoek"]) == 2
    assert "did you mean smoke?" in capsys.readouterr().err


def test_the_scenarios_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--scenario", "list"]) == 0
    told = capsys.readouterr().out
    assert all(name in told for name in names())
