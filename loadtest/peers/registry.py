"""All peers, in the order in which they take their turns. Slipstream, which the others are compared with, is first."""

from __future__ import annotations

from typing import Final

from loadtest.peers.aiohttp_sse import AiohttpSse
from loadtest.peers.nchan import Nchan
from loadtest.peers.peer import Peer
from loadtest.peers.send_loop import SendLoop
from loadtest.peers.slipstream import Slipstream
from loadtest.peers.sse_starlette import SseStarlette

PEERS: Final[tuple[Peer, ...]] = (Slipstream(), Nchan(), AiohttpSse(), SseStarlette())

BASELINE: Final[Peer] = SendLoop()
"""The floor under one event per write; it has no other workload, for it does not do more at once."""
