"""Whose work this is: it goes with a request, and with every task that is begun for it, into each line of the log."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from typing import Any

TENANT: ContextVar[str | None] = ContextVar("tenant", default=None)
TRACE_ID: ContextVar[str | None] = ContextVar("trace_id", default=None)


def within(tenant: str, run: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], Coroutine[Any, Any, None]]:
    """`run` as the work of a tenant, and of no request: a feed outlives the one that first needed it."""

    async def named() -> None:
        TENANT.set(tenant)
        TRACE_ID.set(None)
        await run()

    return named
