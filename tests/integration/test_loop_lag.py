"""An edge tells how late its event loop is, from its first moment on, with or without NATS."""

import asyncio
import time
from pathlib import Path

from tests.integration.cluster import Cluster
from tests.integration.wire import call, until
from tests.servers import NatsServer

LOOPS = ("uvloop", "asyncio")


async def test_the_status_tells_a_stall_of_the_loop(tmp_path: Path) -> None:
    async with Cluster.edge_of(NatsServer(tmp_path)) as running:
        lag = running.services.loop_lag
        await until(lambda: lag.percentile_ms(50) is not None, "the loop was looked at")
        time.sleep(0.3)  # noqa: ASYNC251 - the fault that is to be found
        await asyncio.sleep(0.02)
        told = (await call(running.server.admin_port, "/statusz")).json["loop_lag_ms"]
        assert list(told) == ["p50", "p99", "max"]
        assert told["max"] > 250
        assert told["p50"] <= told["p99"] <= told["max"]
