"""What happens to an edge whose own parts fail: it is seen, or the process ends and says why."""

import asyncio
import gc
import logging
import signal
from collections.abc import Iterator

import pytest

from slipstream.app.serve import serve
from slipstream.jetstream.bucket import Bucket
from slipstream.protocol.errors import Code, SlipstreamError
from slipstream.resilience.lag import LoopLag
from tests.integration.cluster import Cluster
from tests.integration.wire import call, until

LOOPS = ("uvloop",)


@pytest.fixture(autouse=True)
def thawed() -> Iterator[None]:
    """`serve` freezes what there is, which is right for a process of its own."""
    yield
    gc.unfreeze()


async def test_a_task_that_had_to_be_started_again_shows(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    run, ends = LoopLag.run, asyncio.Event()
    failed = False

    async def fails_once(self: LoopLag) -> None:
        nonlocal failed
        if not failed:
            await ends.wait()
            failed = True
            raise RuntimeError("broken once")
        await run(self)

    monkeypatch.setattr(LoopLag, "run", fails_once)
    async with cluster.edge() as running:

        async def restarts() -> int:
            return int((await call(running.server.admin_port, "/statusz")).json["restarts"])

        assert await restarts() == 0
        ends.set()
        await until(lambda: "task loop-lag failed" in caplog.text, "it fails")
        assert await restarts() == 1
        assert (await call(running.server.admin_port, "/livez")).status == 200, "once is nothing"
    caplog.clear()


@pytest.mark.parametrize("error", [RuntimeError("broken"), ValueError("a name is taken")], ids=str)
async def test_a_fault_while_it_waits_for_nats_ends_the_process_with_it(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """Nobody restarts it, so it must not end in silence: such an edge would listen, and refuse everybody for ever."""

    async def broken(_: Bucket) -> bool:
        raise error

    monkeypatch.setattr(Bucket, "exists", broken)
    try:
        with pytest.raises(type(error), match=str(error)):
            async with asyncio.timeout(15):
                await serve(cluster.settings_on(cluster.nats))
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().remove_signal_handler(number)


async def test_what_passes_is_waited_for(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The bucket cannot be looked for, because NATS elects: that ends nothing, and is said once."""
    caplog.set_level(logging.INFO)
    exists, asked = Bucket.exists, 0

    async def away(self: Bucket) -> bool:
        nonlocal asked
        asked += 1
        if asked <= 2:
            raise SlipstreamError(Code.UPSTREAM_UNAVAILABLE, "it elects")
        return await exists(self)

    monkeypatch.setattr(Bucket, "exists", away)
    async with cluster.edge():
        assert asked >= 3
    assert caplog.text.count("waiting for the tenants' bucket: it elects") == 1
