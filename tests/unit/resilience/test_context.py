"""Whose work a task does: the tenant's that it is for, never that of the request which happened to start it."""

import asyncio

from slipstream.resilience.context import TENANT, TRACE_ID, within
from slipstream.resilience.supervise import Supervisor


async def test_a_supervised_task_is_the_tenants_and_no_requests() -> None:
    supervisor = Supervisor()
    seen: list[tuple[str | None, str | None]] = []
    done = asyncio.Event()

    async def look() -> None:
        seen.append((TENANT.get(), TRACE_ID.get()))
        if len(seen) == 2:
            done.set()
        await asyncio.Event().wait()

    async def request() -> None:
        TENANT.set("asker")
        TRACE_ID.set("4bf92f3577b34da6a3ce929d0e0e4736")
        supervisor.start("shared", look)
        supervisor.start("feed", within("acme", look))

    await asyncio.create_task(request())
    async with asyncio.timeout(5):
        await done.wait()
    await supervisor.stop(1.0)
    assert seen == [(None, None), ("acme", None)]
    assert TENANT.get() is None
