"""The command: a small run on real servers."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from loadtest.roads import ROADS
from tests.servers import REPOSITORY

pytestmark = pytest.mark.alone


def test_a_small_run_on_real_servers_finds_the_same_bytes_on_every_road(tmp_path: Path) -> None:
    written = tmp_path / "roads.json"
    argv = [sys.executable, "-m", "loadtest.roads", "--events", "1200", "--rounds", "1", "--json", str(written)]
    done = subprocess.run(argv, cwd=REPOSITORY, capture_output=True, text=True, timeout=50, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (result,) = json.loads(written.read_text())["results"]
    assert result["faults"] == []
    assert all(result["figures"][f"{name}: events/s"] > 0 for name in ROADS)
