"""A producer whose process, or machine, stands still between two lines."""

import asyncio

import pytest

from slipstream.client import RetryState, Terms, Unconfirmed
from slipstream.client.publish import WINDOW_SECONDS
from tests.unit.client.server import reset, serve
from tests.unit.client.test_publish import publisher, stored


async def test_a_wait_that_took_longer_than_the_window_is_not_followed_by_a_retry() -> None:
    """JetStream has forgotten the key by then: the event would be there twice, and nobody would know."""
    now = 1_000.0

    def wake() -> None:
        nonlocal now
        now += WINDOW_SECONDS + 1

    def stand_still(state: RetryState) -> None:
        if state.attempt:
            # It runs when the publish next waits, which is for the time of its second attempt.
            asyncio.get_running_loop().call_soon(wake)

    async with serve(reset, stored()) as server, asyncio.timeout(10):
        publishing = publisher(server, now=lambda: now)
        state = RetryState(Terms(base_ms=1, max_jitter_ms=0, max_attempts=4))
        with pytest.raises(Unconfirmed, match="a retry after 121 s could store it twice; the last: ") as told:
            await publishing.publish("a", 1, state=state, keep=stand_still)
        assert told.value.state.attempt == 1
        assert len(server.requests) == 1
        publishing.close()
