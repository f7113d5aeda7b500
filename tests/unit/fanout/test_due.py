"""Streams whose time has come, and those that go before anything was done for them: real sockets, a real reactor."""

import asyncio
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine
from contextlib import ExitStack, asynccontextmanager
from typing import Any, cast

from slipstream.fanout.audience import View
from slipstream.fanout.connection import Connection, Ending, Lifetime
from slipstream.fanout.hub import Hub, Options
from slipstream.fanout.start import Last, Now, Start, Wish, start
from slipstream.log.ring import Limits
from slipstream.log.source import Sink, Source, State
from slipstream.protocol.event import Record
from slipstream.protocol.topic import Filters
from slipstream.resilience.supervise import Supervisor
from slipstream.shape.shaper import Shaper

ALL = Filters.parse([">"])
VIEW = View(ALL, chunked=False, heartbeat_event=False)
MANY = 150
"""More than are ended in one turn of the loop."""


class Newest:
    """A source that has two lists of newest events, and the second for nobody."""

    async def snapshot(self, _: Filters) -> AsyncGenerator[list[Record], None]:
        yield [Record(1, 1_000, "a", "", b"1")]
        await asyncio.Event().wait()

    async def prepare(self, records: list[Record]) -> list[Record]:
        return records


def followed(_: str, sink: Sink) -> Callable[[], Coroutine[Any, Any, None]]:
    async def run() -> None:
        sink.restart(State("epoch000", 1, 3, 1_002), 3, 1_002, None)
        await asyncio.Event().wait()

    return run


class Pod:
    """A hub with one tenant."""

    def __init__(self, supervisor: Supervisor, stack: ExitStack) -> None:
        self.endings: dict[int, Ending] = {}
        self.hub = Hub(
            asyncio.get_running_loop(),
            supervisor,
            Options(Limits(10, 10_000, 60), 10_000, 10.0, 60.0, 10.0, 4),
            lambda _: cast("Source", Newest()),
            followed,
            shaper_of=lambda _: Shaper(maskers={frozenset(): None}),
            on_closed=self._closed,
        )
        self._stack = stack

    def _closed(self, _: str, connection: Connection, ending: Ending) -> None:
        self.endings[connection.number] = ending

    async def begin(self, wish: Wish) -> Start:
        async with self.hub.hold("acme") as following:
            return await start(wish, following.tail, following.source, self.hub.snapshots, ALL, 100, 2_000)

    def open(self, begun: Start, lifetime: Lifetime | None = None) -> tuple[Connection, socket.socket]:
        """A stream, and its client."""
        ours, theirs = socket.socketpair()
        self._stack.enter_context(theirs)
        ours.setblocking(False)
        following = self.hub._followings["acme"]
        return self.hub.admit(
            following, ours.detach(), self.hub.number(), VIEW, begun, b"head", lifetime=lifetime
        ), theirs


@asynccontextmanager
async def pod() -> AsyncIterator[Pod]:
    supervisor = Supervisor()
    with ExitStack() as stack:
        one = Pod(supervisor, stack)
        try:
            yield one
        finally:
            one.hub.reactor.shut()
            await supervisor.stop(5.0)


async def test_a_stream_that_is_renewed_while_others_are_ended_goes_on() -> None:
    """It was on the list already, and its client was told of the new time."""
    async with pod() as one:
        begun = await one.begin(Now())
        streams = [one.open(begun, Lifetime(10.0, 20.0, b"", b"final"))[0] for _ in range(MANY)]
        ending = asyncio.create_task(one.hub._end_due(30.0), name="ending")
        await asyncio.sleep(0)
        assert 0 < len(one.endings) < MANY
        one.hub.renew(streams[-1], Lifetime(90.0, 100.0, b"", b"final"))
        await ending
        assert len(one.endings) == MANY - 1
        assert streams[-1].open
        assert len(one.hub._lifetimes) == 1
        await one.hub._end_due(101.0)
        assert not streams[-1].open


async def test_a_stream_that_was_renewed_meanwhile_is_not_warned_of_its_old_end() -> None:
    async with pod() as one:
        begun = await one.begin(Now())
        opened = [one.open(begun, Lifetime(10.0, 20.0, b"warning", b"final")) for _ in range(MANY)]
        warning = asyncio.create_task(one.hub._end_due(15.0), name="warning")
        await asyncio.sleep(0)
        one.hub.renew(opened[-1][0], Lifetime(90.0, 100.0, b"another", b"final"))
        await warning
        assert opened[0][1].recv(1_000) == b"headwarning"
        assert opened[-1][1].recv(1_000) == b"head"
        await one.hub._end_due(95.0)
        assert opened[-1][1].recv(1_000) == b"another"


async def test_who_leaves_before_its_chase_has_begun_leaves_the_read_that_it_shared() -> None:
    async with pod() as one:
        begun = await one.begin(Last())
        assert begun.snapshot is not None
        connection, _ = one.open(begun)
        one.hub.reactor.drop(connection)
        (flight,) = one.hub.snapshots._flights
        for _ in range(5):
            await asyncio.sleep(0)
        assert not flight._places
        assert not len(one.hub.snapshots)
        assert connection.snapshot is None
