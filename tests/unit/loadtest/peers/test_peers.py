"""Who has turns; and a peer that is not there is told, not left out."""

from pathlib import Path

import pytest

from loadtest.machine import available_cores
from loadtest.measure import Settings
from loadtest.peers import nchan
from loadtest.peers.__main__ import chosen
from loadtest.peers.nchan import Nchan, configuration
from loadtest.peers.trial import Load, measured

STREAMS = 20


async def test_a_peer_that_is_not_installed_is_told_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nchan, "_MODULE", Path("/nonexistent"))
    settings = Settings(available_cores(), 0.5)
    found = await measured(Nchan(), Load("burst", "", 1), settings, STREAMS, lambda _: None)
    assert found.failure == "not installed: apt-get install nginx libnginx-mod-nchan"


def turns(*only: str) -> list[tuple[str, list[str]]]:
    return [(load.name, [peer.name for peer in peers]) for load, peers in chosen(only)]


def test_everybody_has_turns_and_the_floor_only_under_single_writes() -> None:
    everybody = ["slipstream", "nchan", "aiohttp-sse", "sse-starlette"]
    assert turns() == [
        ("burst", everybody),
        ("flood", everybody),
        ("classic", everybody),
        ("single", [*everybody, "c-send-loop"]),
    ]


def test_slipstream_is_always_there_to_compare_with() -> None:
    assert turns("nchan", "burst") == [("burst", ["slipstream", "nchan"])]
    assert turns("c-send-loop", "single") == [("single", ["slipstream", "c-send-loop"])]


def test_nginx_has_room_for_all_streams_and_all_its_files_in_the_folder(tmp_path: Path) -> None:
    text = configuration(20_001, tmp_path, 5_000)
    assert "worker_connections 5512;" in text
    assert "listen 127.0.0.1:20001 " in text
    paths = [line for line in text.splitlines() if "_temp_path" in line or line.startswith("pid ")]
    assert len(paths) == 6
    assert all(str(tmp_path) in line for line in paths)
