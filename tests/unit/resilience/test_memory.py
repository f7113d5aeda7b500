"""When there is too little memory, and when there is enough again."""

import asyncio
from pathlib import Path

import pytest

from slipstream.resilience.memory import Pressure, cgroup_limit, resident

MIB = 1024 * 1024


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_it_sheds_from_85_percent_until_below_80() -> None:
    pressure = Pressure(1_000)
    assert pressure.document() == {"used": 0, "limit": 1_000, "shedding": False}
    seen = []
    for used in (0, 849, 850, 999, 2_000, 849, 800, 799, 849, 850, 790):
        changed = pressure.sample(used)
        seen.append((pressure.shedding, changed))
    assert seen == [
        (False, False), (False, False), (True, True), (True, False), (True, False), (True, False), (True, False),
        (False, True), (False, False), (True, True), (False, True),
    ]  # fmt: skip
    assert pressure.document() == {"used": 790, "limit": 1_000, "shedding": False}


def test_without_a_limit_nothing_is_shed() -> None:
    pressure = Pressure(0)
    assert not pressure.sample(1 << 50)
    assert not pressure.shedding


async def test_it_looks_by_itself_and_says_what_changes(caplog: pytest.LogCaptureFixture) -> None:
    pressure, descriptors = Pressure(1), open_files()
    looking = asyncio.create_task(pressure.run(), name="memory")
    await asyncio.wait({looking}, timeout=0)
    assert pressure.shedding
    assert pressure.used > MIB
    assert "new streams and publishes are refused" in caplog.text
    looking.cancel()
    await asyncio.wait({looking})
    assert open_files() == descriptors


def test_what_this_process_takes_is_measured() -> None:
    with Path("/proc/self/statm").open("rb") as file:
        before = resident(file.fileno())
        held = bytearray(64 * MIB)
        held[::4096] = b"x" * len(held[::4096])
        assert resident(file.fileno()) - before > 48 * MIB
        assert 8 * MIB < before < 8 << 30


@pytest.mark.parametrize(
    ("files", "limit"),
    [
        ({}, 0),
        ({"memory.max": "max\n"}, 0),
        ({"memory.max": "536870912\n"}, 536_870_912),
        ({"memory/memory.limit_in_bytes": "9223372036854771712\n"}, 0),
        ({"memory/memory.limit_in_bytes": "268435456\n"}, 268_435_456),
        ({"memory.max": "garbage"}, 0),
    ],
)
def test_the_limit_of_the_container(tmp_path: Path, files: dict[str, str], limit: int) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert cgroup_limit(tmp_path) == limit
