"""All tenants with readers on this pod: a tail and a feed each, from the first reader until a while after the last."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from slipstream.fanout.audience import View
from slipstream.fanout.chase import Chaser
from slipstream.fanout.connection import Connection, Ending, Lifetime
from slipstream.fanout.lifetime import Due, Lifetimes
from slipstream.fanout.payload import Payloads
from slipstream.fanout.pulse import Pulse
from slipstream.fanout.reactor import Reactor
from slipstream.fanout.replay import Replay
from slipstream.fanout.slots import Slots
from slipstream.fanout.snapshot import Snapshots
from slipstream.fanout.start import Start
from slipstream.fanout.tail import Tail
from slipstream.log.budget import Budget
from slipstream.log.ring import Limits
from slipstream.log.source import Sink, Source
from slipstream.protocol.errors import Code, SlipstreamError
from slipstream.resilience.context import within
from slipstream.resilience.supervise import Supervisor
from slipstream.shape.shaper import Shaper

_logger = logging.getLogger(__name__)

_ATTACH_SECONDS = 5.0
_TICK = 0.5
_ENDINGS = 100
"""Streams that are warned or ended in one turn of the loop: tokens issued together also end together."""
_LOOKS = 200
"""Peers that are looked at in one turn of the loop."""
_PAYLOADS_BYTES = 16 * 1024 * 1024

Follow = Callable[[str, Sink], Callable[[], Coroutine[Any, Any, None]]]
"""Given a tenant and its sink: what to run to feed the one into the other."""


class Options(NamedTuple):
    """The hub's settings: ring limits per tenant, the cap over all rings (bytes), seconds, and reads in flight."""

    ring: Limits
    rings_bytes: int
    heartbeat: float
    linger: float
    write_deadline: float
    replay_inflight: int


class Following:
    """A tenant that is followed: its tail, its source, its history, and how many hold on to it."""

    __slots__ = ("holders", "idle_since", "replay", "source", "tail", "task")

    def __init__(self, tail: Tail, source: Source, replay: Replay) -> None:
        self.tail = tail
        self.source = source
        self.replay = replay
        self.task: asyncio.Task[None] | None = None
        self.holders = 0
        self.idle_since = 0.0


class Hub:
    """Opens and closes tails, and hands streams over to the reactor."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        supervisor: Supervisor,
        options: Options,
        source_of: Callable[[str], Source],
        follow: Follow,
        *,
        shaper_of: Callable[[str], Shaper],
        on_closed: Callable[[str, Connection, Ending], None],
    ) -> None:
        self._supervisor = supervisor
        self._options = options
        self._source_of = source_of
        self._follow = follow
        self._shaper_of = shaper_of
        self._on_closed = on_closed
        self._budget = Budget(options.rings_bytes)
        self._payloads = Payloads(_PAYLOADS_BYTES)
        self._reads = Slots(options.replay_inflight)
        self.snapshots = Snapshots(options.replay_inflight)
        self._followings: dict[str, Following] = {}
        self._chaser = Chaser(lambda tenant: self._followings[tenant].replay)
        self._number = 0
        self._opened = 0
        self._lifetimes = Lifetimes()
        self.reactor = Reactor(loop, options.write_deadline, self._closed)
        self._pulse = Pulse(options.heartbeat, self.reactor.connections)

    @property
    def tails(self) -> list[Tail]:
        """The tails that are open now."""
        return [following.tail for following in self._followings.values()]

    @asynccontextmanager
    async def hold(self, tenant: str) -> AsyncIterator[Following]:
        """The tenant's tail, fed, for the time of the block; a stream that is handed over meanwhile keeps it open.

        Raises UPSTREAM_UNAVAILABLE when its feed cannot begin within five seconds.
        """
        following = self._followings.get(tenant) or self._open(tenant)
        following.holders += 1
        try:
            try:
                async with asyncio.timeout(_ATTACH_SECONDS):
                    await following.tail.attached.wait()
            except TimeoutError as error:
                raise SlipstreamError(
                    Code.UPSTREAM_UNAVAILABLE, f"the stream of tenant {tenant} cannot be read now", retry_after=2.0
                ) from error
            yield following
        finally:
            self._release(following)

    def number(self) -> int:
        """The number of the next stream, by which this process names it."""
        self._number += 1
        return self._number

    def admit(
        self,
        following: Following,
        fd: int,
        number: int,
        view: View,
        begun: Start,
        head: bytes,
        *,
        lifetime: Lifetime | None = None,
    ) -> Connection:
        """Take over the descriptor of a stream that begins at `begun`; `head` is all that goes before its events.

        lifetime: of a stream that is to end by itself.
        """
        connection = Connection(fd, number, following.tail.audience(view), begun.cursor)
        connection.snapshot = begun.snapshot
        if lifetime is not None:
            self._lifetimes.add(connection, lifetime)
        following.holders += 1
        following.tail.admit(connection, head)
        return connection

    async def run(self) -> None:
        """Send heartbeats, end streams whose time has come or whose peer is gone, close idle tails, for ever."""
        while True:
            await asyncio.sleep(_TICK)
            await self._end_due(time.time())
            now = time.monotonic()
            await self._end_dead(now)
            self._payloads.clear()
            for tenant, following in list(self._followings.items()):
                following.tail.beat(now)
                following.replay.expire()
                if not following.holders and now - following.idle_since > self._options.linger:
                    self._shut(tenant, following)

    def reshape(self, tenant: str) -> None:
        """The tenant's document is another one, and its events may look otherwise now."""
        following = self._followings.get(tenant)
        if following is not None and following.tail.shaper is not (shaper := self._shaper_of(tenant)):
            following.tail.reshape(shaper)

    def renew(self, connection: Connection, lifetime: Lifetime) -> None:
        """The stream ends at another time than was said before."""
        self._lifetimes.discard(connection)
        self._lifetimes.add(connection, lifetime)

    def close(self, tenant: str, ending: Ending, final: bytes) -> None:
        """End all streams of a tenant with the frame `final`."""
        for connection in self.reactor.connections():
            if connection.audience.tail.tenant == tenant:
                self.reactor.close(connection, ending, final)

    async def _end_due(self, now: float) -> None:
        for count, due in enumerate(self._lifetimes.take(now), 1):
            # While others had their turn it may have been renewed, or have ended.
            if due.holds:
                self._tell(due)
            if not count % _ENDINGS:
                await asyncio.sleep(0)

    def _tell(self, due: Due) -> None:
        if due.last:
            self.reactor.close(due.connection, Ending.EXPIRED, due.block)
        else:
            due.connection.audience.tail.tell_one(due.connection, due.block)

    async def _end_dead(self, now: float) -> None:
        for count, connection in enumerate(self._pulse.due(now), 1):
            if not self._pulse.lives(connection):
                self.reactor.drop(connection, Ending.DEAD)
            if not count % _LOOKS:
                await asyncio.sleep(0)

    def _open(self, tenant: str) -> Following:
        source = self._source_of(tenant)
        options = self._options
        tail = Tail(
            tenant,
            self.reactor,
            self._shaper_of(tenant),
            options.ring,
            self._budget,
            self._payloads,
            heartbeat=options.heartbeat,
            chase=self._chaser,
        )
        following = Following(tail, source, Replay(source, self._reads.of(tenant)))
        self._followings[tenant] = following
        self._opened += 1
        feed = within(tenant, self._follow(tenant, tail))
        following.task = self._supervisor.start(f"feed-{tenant}-{self._opened}", feed)
        return following

    def _shut(self, tenant: str, following: Following) -> None:
        del self._followings[tenant]
        self._budget.forget(following.tail.ring)
        if following.task is not None:
            # Until it has ended it may append: that must not bring the ring, which nobody reads, back into the budget.
            following.task.add_done_callback(lambda _: self._budget.forget(following.tail.ring))
            following.task.cancel()

    def _release(self, following: Following) -> None:
        following.holders -= 1
        if not following.holders:
            following.idle_since = time.monotonic()

    def _closed(self, connection: Connection, ending: Ending) -> None:
        self._lifetimes.discard(connection)
        tenant = connection.audience.tail.tenant
        following = self._followings.get(tenant)
        if following is not None:
            self._release(following)
        self._on_closed(tenant, connection, ending)
