"""The command: what a descriptor limit allows, and one short run of everything on real servers."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from loadtest.bench import fitting

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("connections", "limit", "streams", "processes"),
    [(1_000, 20_000, 1_000, 1), (10_000, 20_000, 10_000, 1), (10_000, 4_096, 3_384, 1), (19_980, 20_800, 19_980, 1)],
)
def test_streams_are_as_many_as_the_descriptor_limit_allows(
    connections: int, limit: int, streams: int, processes: int
) -> None:
    assert fitting(connections, limit) == (streams, processes)


def test_a_limit_that_allows_no_stream_says_how_to_raise_it() -> None:
    with pytest.raises(SystemExit, match="ulimit -Hn"):
        fitting(10, 256)


def test_a_short_run_delivers_every_event_and_writes_down_what_it_measured(tmp_path: Path) -> None:
    told = tmp_path / "bench.json"
    options = ["--only", "classic", "--connections", "60", "--seconds", "1", "--json", str(told)]
    argv = [sys.executable, "-m", "loadtest.bench", *options]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=50, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (result,) = json.loads(told.read_text())["results"]
    assert result["faults"] == []
    assert result["figures"]["deliveries/s"] > 0
    assert result["figures"]["latency p99, ms"] > 0
