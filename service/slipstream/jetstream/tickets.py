"""The keys of tickets and which tickets were spent, in the NATS KV bucket `slipstream_tickets`, for all edges.

`key.<day>`: that day's key. `spent.<id>`: what the process that spent it wrote, to know its own writing again. Both are
made by `Kv.create`, which one process alone can do, and expire by themselves. To make all tickets worthless at once
remove the bucket: it is made anew, with other keys.
"""

from __future__ import annotations

import asyncio
import hmac
import secrets
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from slipstream.auth.ticket import KEY_BYTES, LIFE, SKEW, new_key
from slipstream.jetstream.api import STREAM_NOT_FOUND, Api, ApiError
from slipstream.jetstream.kv import Entry, Kv
from slipstream.jetstream.subjects import TICKETS_BUCKET
from slipstream.protocol.errors import Code, SlipstreamError

SPENT_SECONDS: Final = LIFE + 2 * SKEW + 20
"""How long a spent ticket is remembered everywhere: longer than any clock takes it for good."""

_KEY_DAYS: Final = 3
_KEY_SECONDS: Final = 300.0
"""For how long a key is used without asking again: after that a bucket that was made anew is noticed."""

_ATTEMPTS: Final = 5
_REMEMBERED: Final = 16_384
_BYTES_MAX: Final = 64 * 1024 * 1024
"""Room for SPENT_SECONDS of 6,000 tickets a second (178 bytes each, measured). A full bucket refuses the next: to
forget one that was spent would let it in again."""

T = TypeVar("T")


class Tickets:
    """A `auth.ticket.TicketStore`. clock: monotonic, in seconds."""

    def __init__(self, api: Api, clock: Callable[[], float] = time.monotonic) -> None:
        self._bucket = Kv(api, TICKETS_BUCKET, "Slipstream: keys of tickets, and which were spent", _BYTES_MAX)
        self._clock = clock
        self._keys: dict[int, tuple[bytes, float]] = {}
        self._readings: dict[int, asyncio.Task[bytes]] = {}
        self._tries: OrderedDict[str, bytes | None] = OrderedDict()

    async def key(self, day: int) -> bytes:
        """See `TicketStore.key`."""
        key, until = self._keys.get(day, (b"", 0.0))
        if key and self._clock() < until:
            return key
        # Shielded: one client that leaves must not take the key from all others that wait for it.
        return await asyncio.shield(self._read(day))

    async def spend(self, ticket_id: str) -> bool:
        """See `TicketStore.spend`. A ticket whose fate is known here costs no question."""
        nonce = self._tries.get(ticket_id, b"")
        if nonce is None:
            return False
        # Where an earlier try got no answer, its own entry may be there: it must be known again.
        nonce = nonce or secrets.token_bytes(16)
        self._note(ticket_id, None)
        try:
            return await self._asked(self._first(f"spent.{ticket_id}", nonce))
        except BaseException:
            self._note(ticket_id, nonce)
            raise

    async def close(self) -> None:
        """End the readings that are under way."""
        tasks = list(self._readings.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _note(self, ticket_id: str, nonce: bytes | None) -> None:
        """What is known of a ticket: the nonce of a try without an answer, None while it is tried and once it is spent.

        What is forgotten is asked of NATS again, which does not forget.
        """
        self._tries[ticket_id] = nonce
        if len(self._tries) > _REMEMBERED:
            self._tries.popitem(last=False)

    async def _first(self, key: str, nonce: bytes) -> bool:
        try:
            made = await self._bucket.create(key, nonce, SPENT_SECONDS)
        except SlipstreamError:
            # It may have been stored; the same words again tell.
            made = await self._bucket.create(key, nonce, SPENT_SECONDS)
        if made:
            return True
        entry = await self._bucket.get(key)
        if entry is None:
            raise _unsettled()
        return hmac.compare_digest(entry.value, nonce)

    def _read(self, day: int) -> asyncio.Task[bytes]:
        """The reading under way, begun where there is none."""
        task = self._readings.get(day)
        if task is None:
            task = asyncio.create_task(self._asked(self._key(day)), name=f"ticket-key-{day}")
            self._readings[day] = task
            task.add_done_callback(lambda done: self._ended(day, done))
        return task

    def _ended(self, day: int, task: asyncio.Task[bytes]) -> None:
        del self._readings[day]
        if not task.cancelled() and task.exception() is None:
            now = self._clock()
            self._keys = {one: known for one, known in self._keys.items() if now < known[1]}
            self._keys[day] = (task.result(), now + _KEY_SECONDS)

    async def _key(self, day: int) -> bytes:
        name, made = f"key.{day}", new_key()
        entry = await self._found(name)
        for _ in range(_ATTEMPTS):
            if entry is not None:
                break
            if await self._bucket.create(name, made, _KEY_DAYS * 86_400):
                return made
            entry = await self._bucket.get(name)
        if entry is None:
            raise _unsettled()
        if len(entry.value) != KEY_BYTES:
            raise SlipstreamError(
                Code.UPSTREAM_UNAVAILABLE,
                f"what stands at {name} in the bucket {TICKETS_BUCKET} is no key: remove the bucket",
                retry_after=2.0,
            )
        return entry.value

    async def _found(self, name: str) -> Entry | None:
        try:
            return await self._bucket.get(name)
        except ApiError as error:
            if error.err_code != STREAM_NOT_FOUND:
                raise
        await self._bucket.ensure()
        return None

    async def _asked(self, question: Awaitable[T]) -> T:
        try:
            return await question
        except SlipstreamError:
            # A server that has just removed the bucket may say nothing.
            self._keys.clear()
            raise
        except ApiError as error:
            # Perhaps the bucket is gone: then its keys are of no use, and the next reading makes it anew.
            self._keys.clear()
            raise SlipstreamError(
                Code.UPSTREAM_UNAVAILABLE, f"tickets cannot be checked now ({error}): try again", retry_after=2.0
            ) from error


def _unsettled() -> SlipstreamError:
    """Whoever was first is not stored on enough servers yet: until then there is nothing to read."""
    return SlipstreamError(
        Code.UPSTREAM_UNAVAILABLE, "tickets cannot be checked now (NATS is copying a write): try again", retry_after=2.0
    )
