"""What is left of a tenant on a pod when its last reader is long gone: nothing."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, cast

from slipstream.fanout.hub import Hub, Options
from slipstream.log.ring import Limits
from slipstream.log.source import Sink, Source, State
from slipstream.protocol.event import Record
from slipstream.resilience.supervise import Supervisor
from slipstream.shape.shaper import Shaper
from tests.contract.pod import until


def busy(_: str, sink: Sink) -> Callable[[], Coroutine[Any, Any, None]]:
    """A feed that is told to end just when there is another event."""

    async def run() -> None:
        sink.restart(State("epoch000", 1, 3, 1_002), 3, 1_002, None)
        sink.append(Record(4, 1_003, "a", "", b"1"))
        try:
            await asyncio.Event().wait()
        finally:
            sink.append(Record(5, 1_004, "a", "", b"2"))

    return run


async def test_the_last_event_of_a_feed_that_ends_brings_no_ring_back_into_the_budget() -> None:
    supervisor = Supervisor()
    hub = Hub(
        asyncio.get_running_loop(),
        supervisor,
        Options(Limits(10, 10_000, 60), 10_000, 10.0, 0.0, 10.0, 4),
        lambda _: cast("Source", None),
        busy,
        shaper_of=lambda _: Shaper(maskers={frozenset(): None}),
        on_closed=lambda *_: None,
    )
    try:
        async with hub.hold("acme"):
            await until(lambda: hub._budget.total > 0, "it has a ring")
        running = asyncio.create_task(hub.run(), name="hub")
        await until(lambda: not hub.tails and not len(supervisor), "its feed has ended")
        assert (hub._budget.total, hub._budget._weights) == (0, {})
        running.cancel()
        await asyncio.wait({running})
    finally:
        hub.reactor.shut()
        await supervisor.stop(5.0)
