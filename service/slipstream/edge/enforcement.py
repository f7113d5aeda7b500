"""Ends the open streams whose tokens were revoked, as soon as this process hears of it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from typing import Final

from slipstream.auth.revocations import Revocation, Revocations
from slipstream.edge.sessions import Session, Sessions
from slipstream.fanout.connection import Connection, Ending
from slipstream.protocol import control
from slipstream.protocol.errors import Code

_logger = logging.getLogger(__name__)

_EXPIRE_SECONDS: Final = 3_600.0

REVOKED: Final = "the token was revoked: get a new one, and connect again with the last event id"

_FINAL: Final = control.error(Code.UNAUTHORIZED, REVOKED, False, None)


class Enforcement:
    """The table of revocations that a follower fills. `run` ends streams, for ever.

    close: ends a stream in good order with its last frame.
    """

    def __init__(
        self, revocations: Revocations, sessions: Sessions, close: Callable[[Connection, Ending, bytes], None]
    ) -> None:
        self._revocations = revocations
        self._sessions = sessions
        self._close = close
        self._tenants: set[str] = set()
        self._woken = asyncio.Event()

    def get(self, key: str) -> Revocation | None:
        """What stands under this key."""
        return self._revocations.get(key)

    def put(self, revocation: Revocation) -> None:
        """It is new or different: from now on nobody gets in by what it names, and who is in is sent away."""
        self._revocations.put(revocation)
        self._wake(revocation.tenant)

    def remove(self, key: str) -> None:
        """It was taken back."""
        self._revocations.remove(key)

    def replace(self, revocations: Mapping[str, Revocation]) -> None:
        """These are all, by their keys; some may have come while nobody told this process."""
        self._revocations.replace(revocations)
        self._wake(*(one.tenant for one in revocations.values()))

    async def run(self) -> None:
        """Look at the streams of a tenant after each of its revocations."""
        while True:
            # Not wait_for, which Python 3.11 lets swallow a cancellation that comes together with the wake-up.
            try:
                async with asyncio.timeout(_EXPIRE_SECONDS):
                    await self._woken.wait()
            except TimeoutError:
                self._revocations.expire(time.time())
                continue
            self._woken.clear()
            tenants, self._tenants = self._tenants, set()
            await self._walk(tenants)

    def _wake(self, *tenants: str) -> None:
        self._tenants.update(tenants)
        self._woken.set()

    async def _walk(self, tenants: set[str]) -> None:
        """Who comes in later was asked about at the door."""
        ended = 0
        async for session in self._sessions.walk():
            if session.token is not None and session.token.tenant in tenants and session.connection.open:
                ended += self._judge(session)
        if ended:
            _logger.info("%d streams ended, because their tokens were revoked", ended)

    def _judge(self, session: Session) -> bool:
        """Whether it had to end."""
        if session.token is None or not self._revocations.revoked(session.token):
            return False
        try:
            self._close(session.connection, Ending.REVOKED, _FINAL)
        except Exception:
            # One that cannot be ended must not keep the others.
            _logger.exception("stream %d could not be ended", session.number)
        return True
