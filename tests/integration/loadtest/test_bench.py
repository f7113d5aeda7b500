"""The command: one short run of everything on real servers."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers import REPOSITORY

pytestmark = pytest.mark.alone


def test_a_short_run_delivers_every_event_and_writes_down_what_it_measured(tmp_path: Path) -> None:
    told = tmp_path / "bench.json"
    options = ["--only", "classic", "--connections", "60", "--seconds", "1", "--json", str(told)]
    argv = [sys.executable, "-m", "loadtest.bench", *options]
    done = subprocess.run(argv, cwd=REPOSITORY, capture_output=True, text=True, timeout=50, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (result,) = json.loads(told.read_text())["results"]
    assert result["faults"] == []
    assert result["figures"]["deliveries/s"] > 0
    assert result["figures"]["latency p99, ms"] > 0
