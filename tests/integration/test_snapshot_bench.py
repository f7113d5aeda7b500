"""`python -m loadtest.snapshot` on a small scale: it serves, counts, and would tell a fault."""

import asyncio
import subprocess
import sys
from pathlib import Path

import orjson
import pytest

from tests.servers import REPOSITORY

pytestmark = [pytest.mark.alone, pytest.mark.timeout(90)]


async def test_a_small_crowd_is_measured_without_a_fault(tmp_path: Path) -> None:
    document = tmp_path / "figures.json"
    size = ("--connections", "20", "--topics", "400")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "loadtest.snapshot", *size, "--json", str(document)),
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    async with asyncio.timeout(80):
        told, _ = await process.communicate()
    assert process.returncode == 0, told.decode()
    (result,) = orjson.loads(document.read_bytes())["results"]
    assert result["faults"] == []
    figures = result["figures"]
    # They come within a second or two, so that one or two reads serve them all.
    assert 1 <= figures["JetStream consumers made"] < 10
    assert figures["requests to NATS for each reader"] < 20
    assert figures["readers whose order was looked at"] == 1
