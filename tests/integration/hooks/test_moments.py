"""What ends in the very moment in which something else begins: nobody is left waiting, and nothing of others is hit."""

import asyncio
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import uvloop

from slipstream.hooks.child import Child
from slipstream.hooks.host import Host
from slipstream.hooks.stage import Stage
from slipstream.hooks.wire import Plan
from slipstream.protocol.errors import SlipstreamError
from tests.integration.hooks.test_stage import FOREIGN, Current, all_prepared, record, setup, shaper, supervised

pytestmark = pytest.mark.usefixtures("installed")

_LOOPS = {"uvloop": uvloop.new_event_loop, "asyncio": asyncio.new_event_loop}
_TURNS = 10
"""More than a start takes from the first call until the child is waited for."""

_CLIENTS = 16


@contextmanager
def clients() -> Iterator[None]:
    """Descriptors that were opened meanwhile, as accepted connections are: all are still their owner's at the end."""
    opened = [os.open(os.devnull, os.O_RDONLY) for _ in range(_CLIENTS)]
    yield
    lost = []
    for descriptor in opened:
        try:
            os.close(descriptor)
        except OSError:
            lost.append(descriptor)
    assert not lost, "somebody closed descriptors that were not its own"


@pytest.mark.parametrize("loop", _LOOPS, ids=str)
def test_a_start_that_is_broken_off_at_any_moment_closes_nobody_elses_descriptor(
    loop: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken_off(turns: int) -> None:
        child = Child(Plan("acme", ()), lambda _: b"", lambda _: None)
        starting = asyncio.create_task(child.start(), name="starting")
        for _ in range(turns):
            await asyncio.sleep(0)
        starting.cancel()
        await asyncio.wait({starting})
        with clients():
            await child.end()

    async def all_moments() -> None:
        for turns in range(_TURNS):
            await broken_off(turns)

    with asyncio.Runner(loop_factory=_LOOPS[loop]) as runner:
        runner.run(all_moments())
    assert "cannot be killed" not in caplog.text
    assert not caplog.records


async def test_events_of_a_chain_that_is_replaced_before_its_host_ran_are_shown_to_the_next() -> None:
    """The document changes, and history is read, in the very turn of the loop in which the first event came."""
    async with supervised() as supervisor, asyncio.timeout(20.0):
        current = Current(FOREIGN)
        stage = Stage("acme", current, supervisor)
        live, history = [record(1)], [record(2)]
        feed = asyncio.create_task(stage.prepare(live, "epoch", urgent=True), name="feed")
        asyncio.get_running_loop().call_soon(setattr, current, "now", setup(shaper("obey", masking=()), "obey"))
        replay = asyncio.create_task(stage.prepare(history, "epoch"), name="replay")
        with pytest.raises(SlipstreamError, match="is being stopped"):
            await feed
        await stage.prepare(live, "epoch", urgent=True)
        await replay
        assert all_prepared(live + history)


async def test_events_that_came_while_a_chain_waited_to_be_served_again_are_told_of_its_end(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    serve: Callable[[Host], object] = Host.serve
    failed = asyncio.Event()

    async def broken(self: Host) -> None:
        del self
        failed.set()
        raise RuntimeError("broken")

    monkeypatch.setattr(Host, "serve", broken)
    async with supervised() as supervisor, asyncio.timeout(20.0):
        stage = Stage("acme", Current(FOREIGN), supervisor)
        waiting = asyncio.create_task(stage.prepare([record(1)], "epoch", urgent=True), name="feed")
        await failed.wait()
        monkeypatch.setattr(Host, "serve", serve)
        stage.leave()
        with pytest.raises(SlipstreamError, match="is being stopped"):
            await waiting
    caplog.clear()
