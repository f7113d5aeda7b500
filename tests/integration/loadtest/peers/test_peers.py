"""Peers in Python and C run, and deliver."""

import pytest

from loadtest.machine import available_cores
from loadtest.measure import Settings
from loadtest.peers import trial
from loadtest.peers.aiohttp_sse import AiohttpSse
from loadtest.peers.peer import Peer
from loadtest.peers.send_loop import SendLoop
from loadtest.peers.sse_starlette import SseStarlette
from loadtest.peers.trial import Load, measured

STREAMS = 20

pytestmark = pytest.mark.alone


@pytest.mark.parametrize("peer", [AiohttpSse(), SseStarlette(), SendLoop()], ids=lambda peer: peer.name)
async def test_a_peer_delivers_every_event_to_every_stream(peer: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "_SETTLE_SECONDS", 0.2)
    monkeypatch.setattr(trial, "_KEPT_UP", 0.0)
    settings = Settings(available_cores(), 0.5)
    found = await measured(peer, Load("single", "", 40), settings, STREAMS, lambda _: None)
    assert (found.failure, found.lost) == ("", 0)
    assert found.delivered > 0
    assert found.p99 is not None
    assert found.p99 > 0
    assert found.memory > 0
