"""A reader that the ring does not cover, on its way through the durable stream: one step after the other.

The task ends as soon as its socket is full; the reactor's `pump` starts another one when there is room, so that a slow
reader holds no task and no page of history.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable

from slipstream.fanout.connection import Connection, Ending, State
from slipstream.fanout.replay import Replay
from slipstream.fanout.tail import Tail
from slipstream.log.splice import Step, step
from slipstream.protocol import control
from slipstream.protocol.control import Gap, Reason
from slipstream.protocol.errors import SlipstreamError
from slipstream.resilience.backoff import Backoff

_logger = logging.getLogger(__name__)

_PATIENCE = 60.0


class Chaser:
    """Chases for all readers of the pod; `replay_of(tenant)` gives the history of one tenant.

    While NATS is away a reader waits, hearing heartbeats, for at most a minute; then it is told to come back.
    """

    def __init__(self, replay_of: Callable[[str], Replay]) -> None:
        self._replay_of = replay_of

    async def __call__(self, tail: Tail, connection: Connection) -> None:
        """Bring `connection` to where the ring covers it, or until its socket is full."""
        replay = self._replay_of(tail.tenant)
        backoff = Backoff(0.1, 2.0)
        until = time.monotonic() + _PATIENCE
        try:
            while connection.state is State.BEHIND:
                try:
                    if not await self._advance(tail, connection, replay):
                        break
                except SlipstreamError as error:
                    if time.monotonic() > until or connection.snapshot is not None:
                        block = control.error(error.code, error.message, True, None)
                        tail.reactor.close(connection, Ending.UPSTREAM, block)
                        return
                    await asyncio.sleep(backoff.next(random.random()))  # noqa: S311 jitter is no secret
                else:
                    backoff.reset()
                    until = time.monotonic() + _PATIENCE
        except Exception:
            _logger.exception("the replay of stream %d failed", connection.number)
            tail.reactor.drop(connection, Ending.INTERNAL)
        finally:
            tail.ended(connection)
            if connection.state is not State.BEHIND and connection.snapshot is not None:
                snapshot, connection.snapshot = connection.snapshot, None
                await snapshot.aclose()

    async def _advance(self, tail: Tail, connection: Connection, replay: Replay) -> bool:
        """One step; False when the rest is the reactor's business."""
        incarnation = tail.incarnation
        if connection.snapshot is not None:
            await self._snapshot(tail, connection, incarnation)
            return not connection.unsent
        ring = tail.ring
        pattern = connection.audience.view.filters.narrowest()
        match step(connection.cursor, ring.base, ring.last, connection.fence):
            case Step.FENCE:
                fence = await replay.fence(pattern, connection.cursor, ring.last, incarnation)
                if tail.incarnation == incarnation:
                    connection.fence = fence
            case Step.JUMP:
                if connection.fence is not None:
                    connection.cursor = connection.fence.head
                    connection.fence = None
            case Step.REPLAY:
                await self._replay(tail, connection, replay, pattern, incarnation)
            case _:
                tail.arrive(connection)
                return False
        return not connection.unsent

    async def _snapshot(self, tail: Tail, connection: Connection, incarnation: int) -> None:
        snapshot = connection.snapshot
        if snapshot is None:
            return
        records = await anext(snapshot, None)
        if records is None or tail.incarnation != incarnation:
            connection.snapshot = None
            await snapshot.aclose()
        else:
            tail.deliver(connection, records)

    async def _replay(self, tail: Tail, connection: Connection, replay: Replay, pattern: str, incarnation: int) -> None:
        page = await replay.page(pattern, connection.cursor, incarnation)
        if tail.incarnation != incarnation or page.state.epoch != tail.epoch:
            # The feed has noticed, or will within two heartbeats: it then says where to go on.
            await asyncio.sleep(0 if tail.incarnation != incarnation else 0.1)
            return
        first = page.state.first_seq
        if connection.cursor < first - 1:
            requested, connection.cursor = tail.position(connection.cursor), first - 1
            place = tail.position(first - 1)
            gap = Gap(Reason.expired, str(requested), place, certain=connection.audience.view.filters.everything)
            if not tail.tell(connection, control.gap(place, gap)):
                return
        tail.deliver(connection, page.batch.records)
