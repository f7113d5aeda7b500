"""The open streams as the edge knows them: whose each is, and by what right it is open."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Final, NamedTuple

from slipstream.auth.claims import Token
from slipstream.edge.admission import Place
from slipstream.fanout.audience import View
from slipstream.fanout.connection import Connection
from slipstream.protocol.topic import Filters

_ID_MAX: Final = 64
_NUMBER_MAX: Final = 15
"""Digits of a stream's number: what JSON carries whole (RFC 8259 section 6)."""

_SLICE: Final = 100
"""Streams that are looked at in one turn of the loop, and ended if they have to: the others wait meanwhile."""


class Session:
    """One open stream.

    token: by which it is open, None without authentication. opened_at: Unix seconds. renewal: the number of the
    question that brought the token, 0 for its first one; who asked later has a higher one.
    """

    __slots__ = ("connection", "opened_at", "place", "renewal", "token")

    def __init__(self, connection: Connection, token: Token | None, place: Place, *, opened_at: int) -> None:
        self.connection = connection
        self.token = token
        self.place = place
        self.opened_at = opened_at
        self.renewal = 0

    @property
    def number(self) -> int:
        """By which its process names it."""
        return self.connection.number

    @property
    def address(self) -> str:
        """The client's."""
        return self.place.address

    @property
    def tenant(self) -> str:
        """Whose events it reads."""
        return self.connection.audience.tail.tenant

    @property
    def view(self) -> View:
        """How it sees them."""
        return self.connection.audience.view

    @property
    def filters(self) -> Filters:
        """What it reads of them."""
        return self.view.filters


class StreamId(NamedTuple):
    """`<process>.<number>`, as `stream.ready` says it."""

    process: str
    number: int

    @classmethod
    def parse(cls, text: str) -> StreamId | None:
        """The id, or None for what is none."""
        process, _, number = text.partition(".")
        if (
            not (process.isascii() and process.isalnum() and number.isascii() and number.isdigit())
            or len(text) > _ID_MAX
            or len(number) > _NUMBER_MAX
        ):
            return None
        return cls(process, int(number))


class _Own:
    """A tenant's open streams. looking: held by whoever goes through them."""

    __slots__ = ("looking", "sessions")

    def __init__(self) -> None:
        self.sessions: dict[int, Session] = {}
        self.looking = asyncio.Lock()


class Sessions:
    """All open streams of this process."""

    def __init__(self) -> None:
        self._sessions: dict[int, Session] = {}
        self._of: dict[str, _Own] = {}

    def __len__(self) -> int:
        return len(self._sessions)

    def open(self, session: Session) -> None:
        """A stream has begun: what it holds is its own until `closed`."""
        session.place.kept = True
        self._sessions[session.number] = session
        self._of.setdefault(session.tenant, _Own()).sessions[session.number] = session

    def closed(self, number: int) -> None:
        """A stream has ended: what it held is free."""
        session = self._sessions.pop(number, None)
        if session is not None:
            own = self._of[session.tenant]
            del own.sessions[number]
            if not own.sessions:
                del self._of[session.tenant]
            session.place.close()

    def get(self, number: int) -> Session | None:
        """The open stream of this number."""
        return self._sessions.get(number)

    async def walk(self) -> AsyncIterator[Session]:
        """All that are open at the beginning and when their turn comes, in slices: events go on meanwhile."""
        async for session in self._slices(self._sessions):
            yield session

    async def walk_of(self, tenant: str) -> AsyncIterator[Session]:
        """The same of one tenant's, by one caller at a time: many slices in one turn of the loop are none."""
        own = self._of.get(tenant)
        if own is not None:
            async with own.looking:
                async for session in self._slices(own.sessions):
                    yield session

    async def _slices(self, sessions: Mapping[int, Session]) -> AsyncIterator[Session]:
        for count, session in enumerate(list(sessions.values()), 1):
            if session.number in self._sessions:
                yield session
            if not count % _SLICE:
                await asyncio.sleep(0)
