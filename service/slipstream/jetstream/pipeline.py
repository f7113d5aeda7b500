"""Many publishes in flight over one connection, each with its own acknowledgement and deadline.

nats-py has two ways: `request`, which takes a task for each publish that is in flight (26,000 acks a second on one
core), and `publish_async` (36,000). Here the acks come by a tap on one inbox, straight from the parser (60,000;
docs/decisions/008-pipelined-publishing.md).
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple
from weakref import WeakValueDictionary

from nats import errors as nats_errors

from slipstream.jetstream.api import away
from slipstream.jetstream.client import Client
from slipstream.jetstream.link import Link
from slipstream.jetstream.violation import Violation
from slipstream.protocol.errors import Code, SlipstreamError

IN_FLIGHT: Final = 512
"""A tenant's unacknowledged publishes at once: beyond 256 nothing gets faster on one machine, but a round trip of 10 ms
needs them. Each tenant has as many, for each has a stream of its own: one that stops acknowledging keeps nobody else
waiting. Over all tenants the requests that hold them are bounded, by their bytes."""

SECONDS: Final = 5.0
"""Deadline of an acknowledgement. The event may be stored after it."""

_NO_RESPONDERS: Final = b"NATS/1.0 503"

Ack = bytes | SlipstreamError
"""The JSON of JetStream's answer, or why there is none."""


class _Waiting(NamedTuple):
    room: asyncio.Semaphore
    subject: str
    done: Callable[[Ack], None]
    timer: asyncio.TimerHandle


class Pipeline:
    """Sends in the order of a tenant's calls, and never more than `IN_FLIGHT` of one tenant at once."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._rooms: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()
        self._waiting: dict[str, _Waiting] = {}
        self._numbers = itertools.count()
        self._tapping = asyncio.Lock()
        self._client: Client | None = None
        self._inbox = ""
        link.on_violation(self._refuse)

    async def send(
        self, tenant: str, subject: str, data: bytes, headers: Mapping[str, str], done: Callable[[Ack], None]
    ) -> None:
        """Send as soon as `tenant` has room; `done` is called once with what came of it, maybe before this returns.

        Raises UPSTREAM_UNAVAILABLE where nothing was sent.
        """
        room = self._rooms.get(tenant)
        if room is None:
            room = self._rooms[tenant] = asyncio.Semaphore(IN_FLIGHT)
        await _enter(room)
        token = str(next(self._numbers))
        timer = asyncio.get_running_loop().call_later(SECONDS, self._expire, token)
        self._waiting[token] = _Waiting(room, subject, done, timer)
        try:
            client = await self._tapped()
            await client.publish(subject, data, reply=f"{self._inbox}.{token}", headers=dict(headers))
        except (TimeoutError, OSError, nats_errors.Error) as error:
            self._settle(token, away(error))
        except BaseException:
            self._forget(token)
            raise

    async def _tapped(self) -> Client:
        """The connection to use now, with our inbox on it."""
        client = self._link.client
        if client is self._client:
            return client
        async with self._tapping:
            # The connection may have been replaced once more, and another may have been here first.
            client = self._link.client
            if client is not self._client:
                inbox = client.new_inbox()
                await client.tap(f"{inbox}.*", self._on_ack)
                self._client, self._inbox = client, inbox
        return client

    def _on_ack(self, subject: str, _: str, data: bytes, raw: bytes) -> None:
        nobody = not data and raw.startswith(_NO_RESPONDERS)
        self._settle(subject.rpartition(".")[2], _nobody() if nobody else data)

    def _refuse(self, violation: Violation) -> None:
        inboxes = self._link.client.inboxes
        for token, one in list(self._waiting.items()):
            if violation.concerns(one.subject, inboxes):
                self._settle(token, away(violation.error(one.subject, inboxes)))

    def _expire(self, token: str) -> None:
        self._link.suspect("an acknowledgement")
        self._settle(token, away(TimeoutError(f"no acknowledgement within {SECONDS:g} s")))

    def _settle(self, token: str, ack: Ack) -> None:
        waiting = self._forget(token)
        if waiting is not None:
            waiting.done(ack)

    def _forget(self, token: str) -> _Waiting | None:
        waiting = self._waiting.pop(token, None)
        if waiting is not None:
            waiting.timer.cancel()
            waiting.room.release()
        return waiting


async def _enter(room: asyncio.Semaphore) -> None:
    if not room.locked():
        await room.acquire()
        return
    try:
        async with asyncio.timeout(SECONDS):
            await room.acquire()
    except TimeoutError as error:
        why = f"{IN_FLIGHT} events of this tenant wait for their acknowledgement already"
        raise away(TimeoutError(why)) from error


def _nobody() -> SlipstreamError:
    return SlipstreamError(
        Code.UPSTREAM_UNAVAILABLE,
        "no stream takes the events of this tenant now: JetStream is electing or the stream is gone",
        retry_after=2.0,
    )
