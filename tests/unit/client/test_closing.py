"""A stream that is closed in the moment in which its next attempt is due, on the loops that programs run on."""

import asyncio

import pytest
import uvloop

from slipstream.client import Stream
from tests.unit.client.server import frames, reset, serve

_LOOPS = {"uvloop": uvloop.new_event_loop, "asyncio": asyncio.new_event_loop}
READY = 'event: stream.ready\ndata: {"heartbeat_ms":15000}\n\n'


@pytest.mark.parametrize("loop", _LOOPS, ids=str)
def test_no_attempt_is_made_once_it_is_closed(loop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    schedule = Stream._schedule

    def closed_when_due(self: Stream, reason: str, delay: float) -> None:
        schedule(self, reason, delay)
        assert self._connect_at is not None
        asyncio.get_running_loop().call_at(self._connect_at, self.close)

    monkeypatch.setattr(Stream, "_schedule", closed_when_due)

    async def read() -> None:
        async with serve(reset, frames(READY, hold=True)) as server, asyncio.timeout(10):
            stream = Stream(server.url, ["a"], "acme", roll=lambda: 0.0)
            stream.retry.retry_ms = 50
            with pytest.raises(StopAsyncIteration):
                await anext(stream)
            opening, stream._opening = stream._opening, None
            if opening is not None:
                # Else nobody would ever close what it opens.
                await asyncio.wait({opening})
                opening.result().close()
            assert opening is None

    with asyncio.Runner(loop_factory=_LOOPS[loop]) as runner:
        runner.run(read())
