"""What reaches a share in the very moment in which its work ends, on a real nats-server."""

import asyncio
import time

from slipstream.jetstream.subjects import Delivered
from tests.contract.pod import until
from tests.contract.test_leases import KEY, processes
from tests.servers import NatsServer


async def test_a_wish_that_comes_as_the_work_of_its_key_ends_is_heard(nats: NatsServer) -> None:
    """Between the last line of a task and what is called at its end lies a turn of the loop."""
    async with processes(nats, "a") as (one,):
        assert await one.enter(1, 100) == (1, [])
        await until(lambda: one.share()["granted"] > 1, "a block is granted, most of it idle")
        leases = one.leases
        account = leases._accounts[KEY]
        await until(lambda: account.task is None, "it rests")
        heard: list[bool] = []

        def wish() -> None:
            assert account.task is not None
            heard.append(account.task.done())
            leases.take(f"want.{KEY}", b"b", Delivered(0, 0, int(time.time() * 1_000)))

        leases._begin(KEY, account)
        # It has nothing to do, and is over in its first step, which is called before this.
        asyncio.get_running_loop().call_soon(wish)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert heard == [True]
        work = account.task
        assert work is not None, "somebody gives back what lies idle"
        await asyncio.wait({work}, timeout=5.0)
        assert one.share()["granted"] == 1
        one.leave(1)
