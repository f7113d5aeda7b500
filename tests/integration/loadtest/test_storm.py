"""The command: a small storm on real servers."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers import REPOSITORY

pytestmark = pytest.mark.alone


def test_a_small_storm_on_real_servers_loses_and_repeats_nothing(tmp_path: Path) -> None:
    told = tmp_path / "storm.json"
    argv = [sys.executable, "-m", "loadtest.storm", "--connections", "40", "--events", "1500", "--json", str(told)]
    done = subprocess.run(argv, cwd=REPOSITORY, capture_output=True, text=True, timeout=50, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (result,) = json.loads(told.read_text())["results"]
    assert result["faults"] == []
    assert result["figures"]["requests to NATS"] > 0, "the ring covers a few hundred events, not all"
    assert result["figures"]["events sent to them"] >= sum(1 + number * 1500 // 40 for number in range(40))
