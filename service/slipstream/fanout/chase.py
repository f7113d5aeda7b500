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
from slipstream.fanout.snapshot import Snapshot
from slipstream.fanout.tail import Tail
from slipstream.log.resume import gap_of
from slipstream.log.splice import Step, step
from slipstream.protocol import control
from slipstream.protocol.control import Reason
from slipstream.protocol.errors import SlipstreamError
from slipstream.resilience.backoff import Backoff

_logger = logging.getLogger(__name__)

_PATIENCE = 60.0
_STALE_SECONDS = 0.05
_MOVED_SECONDS = 0.1


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
            return await self._snapshot(tail, connection, connection.snapshot)
        ring = tail.ring
        pattern = connection.audience.view.filters.narrowest()
        match step(connection.cursor, ring.base, ring.last, connection.fence):
            case Step.FENCE:
                fence = await replay.fence(pattern, connection.cursor, ring.last, incarnation)
                if tail.incarnation == incarnation:
                    if fence.state.epoch != tail.epoch:
                        await asyncio.sleep(_MOVED_SECONDS)
                    else:
                        connection.fence = fence
            case Step.JUMP:
                if connection.fence is not None:
                    connection.cursor = connection.fence.head
                    connection.fence = None
            case Step.REPLAY:
                return await self._replay(tail, connection, replay, pattern, incarnation)
            case _:
                tail.arrive(connection)
                return False
        return not connection.unsent

    async def _snapshot(self, tail: Tail, connection: Connection, snapshot: Snapshot) -> bool:
        records = await snapshot.after(connection.cursor)
        # A restart takes it away where it is of another log.
        if records and connection.snapshot is snapshot:
            return tail.deliver(connection, records)
        connection.snapshot = None
        await snapshot.aclose()
        return not connection.unsent

    async def _replay(self, tail: Tail, connection: Connection, replay: Replay, pattern: str, incarnation: int) -> bool:
        page = await replay.page(pattern, connection.cursor, incarnation)
        if tail.incarnation != incarnation:
            return not connection.unsent
        if page.state.epoch != tail.epoch:
            # The feed will notice within two heartbeats: it then says where to go on.
            await asyncio.sleep(_MOVED_SECONDS)
            return not connection.unsent
        cursor, first = connection.cursor, page.state.first_seq
        if cursor < first - 1:
            connection.cursor = first - 1
            place = tail.position(first - 1)
            gap = gap_of(Reason.expired, tail.position(cursor), place, connection.audience.view.filters)
            if not tail.tell(connection, control.gap(place, gap)):
                return False
        if not tail.deliver(connection, page.batch.records):
            return False
        if connection.cursor == cursor:
            # The replica that answered is behind its leader: nothing is gained by asking it at once.
            await asyncio.sleep(_STALE_SECONDS)
        return not connection.unsent
