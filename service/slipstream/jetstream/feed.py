"""The live feed of one stream: a named, in-memory, unfiltered push consumer of our own that loses nothing silently.

nats-py's ordered consumer is not used: it drops messages behind its own cursor, replays everything after a restart
when idle, and skips the first events of a recreated stream (measured; contract tests T2 to T6). Here the parser hands
each message to `_take`, the pure `Cursor` judges it, and the sink has it before the next byte is read.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable

from nats import errors as nats_errors
from nats.aio.subscription import Subscription

from slipstream.jetstream.api import UNAVAILABLE, Api, ApiError, away
from slipstream.jetstream.client import Client, parse_headers
from slipstream.jetstream.cursor import Action, Cursor
from slipstream.jetstream.subjects import Delivered, parse_reply
from slipstream.protocol.errors import SlipstreamError
from slipstream.resilience.backoff import Backoff

_logger = logging.getLogger(__name__)

_TICK = 0.5
_BREATH_SECONDS = 0.1
"""About what lies between two attempts, where the first took longer than the pause that was due."""

_HEARTBEAT_NS = 1_000_000_000
_INACTIVE_NS = 15_000_000_000
_MAKING_SECONDS = 0.5
"""For so long the first consumer is waited for; 1,500 that are made at once take 0.7 s (three nodes on two cores)."""
_AHEAD_SECONDS = 0.003
"""For so long more for each question of ours that is before it. Of 1,000 feeds that begin together on a busy machine
(four other processes on two cores) all gave up, and began again together: 23 s, and 4.5 where each was waited for."""

Take = Callable[[Delivered, str, bytes, bytes], bool]
"""Takes a message: its numbers, subject, payload and raw headers. Must return at once; False when it has no room."""

Locate = Callable[[int | None], Awaitable[int]]
"""Checks the stream and answers after which sequence to go on; see `Feed`."""

Confirm = Callable[[], Awaitable[bool]]
"""Answers whether the stream is still the one that was located; see `Feed`."""


class Feed:
    """Follows one stream for as long as `run` runs.

    `locate(last)` is asked before every consumer: given the last sequence taken (None at first) it checks the stream
    and answers after which sequence to go on; it may tell its own listeners that something is missing. It raises
    SlipstreamError while the stream cannot be read.

    `confirm()` is asked after every consumer was made: a stream that was deleted and made anew in between gives a
    consumer that waits, heartbeats and all, for a sequence of the old one (nats-server does not clamp `opt_start_seq`).
    """

    def __init__(
        self, api: Api, feed_api: Api, stream: str, process: str, *, take: Take, locate: Locate, confirm: Confirm
    ) -> None:
        self._api = api
        self._link = feed_api.link
        self._stream = stream
        self._name = f"edge-{process}"
        self._take_message = take
        self._locate = locate
        self._confirm = confirm
        self._cursor: Cursor | None = None
        self._wake = asyncio.Event()
        self._client: Client | None = None
        self._tap: Subscription | None = None
        self._consumer = ""
        self._unmade = 0
        self._obstacle = ""
        self.resets = 0
        self.attached = asyncio.Event()

    async def run(self) -> None:
        """Follow the stream; returns only by cancellation, after the consumer was taken back."""
        forget = self._link.on_restored(self._reconnected)
        backoff = Backoff(0.1, 2.0)
        try:
            while True:
                if self._cursor is None or not self._cursor.following:
                    began = time.monotonic()
                    if await self._attach():
                        backoff.reset()
                    else:
                        spent = time.monotonic() - began
                        roll = random.random()  # noqa: S311 jitter is no secret
                        await asyncio.sleep(max(backoff.next(roll) - spent, _BREATH_SECONDS * (0.5 + roll)))
                        continue
                await self._pause()
                if self._cursor is not None and self._cursor.tick(time.monotonic()) is Action.RESET:
                    self._link.suspect(f"the feed of {self._stream}")
                    self._wake.set()
        finally:
            forget()
            if self._cursor is not None and self._cursor.following:
                # Without its consumer: whoever runs this again need not wait for the silence.
                self._cursor.lost("it was stopped")
            await self._detach()

    async def _pause(self) -> None:
        # Not wait_for, which Python 3.11 lets swallow a cancellation that comes together with the wake-up.
        try:
            async with asyncio.timeout(_TICK):
                await self._wake.wait()
        except TimeoutError:
            return
        self._wake.clear()

    async def _attach(self) -> bool:
        cursor = self._cursor
        await self._detach()
        try:
            base = await self._locate(None if cursor is None else cursor.last)
            if cursor is None:
                cursor = Cursor(base)
            else:
                self.resets += 1
                _logger.info("feed of %s starts again after %d: %s", self._stream, base, cursor.reason)
                cursor.rewind(base)
            self._cursor = cursor
            await self._create(cursor, base)
            if not await self._confirm():
                cursor.lost("the stream was made anew while the consumer was")
                return False
        except (SlipstreamError, ApiError, OSError, nats_errors.Error) as error:
            if cursor is not None and cursor.following:
                cursor.lost(f"could not be made: {error}")
            self._tell(str(error))
            return False
        self._obstacle = ""
        self.attached.set()
        return True

    def _tell(self, obstacle: str) -> None:
        """Once for each obstacle, not for each attempt: a thousand feeds may wait for the same NATS."""
        level = logging.DEBUG if obstacle == self._obstacle else logging.WARNING
        self._obstacle = obstacle
        _logger.log(level, "feed of %s cannot start, trying again: %s", self._stream, obstacle)

    async def _create(self, cursor: Cursor, base: int) -> None:
        if cursor.generation:
            await self._placed()
        client = self._link.client
        generation = cursor.begin(time.monotonic())
        inbox = client.new_inbox()
        self._wake.clear()
        self._client = client
        # Interest must be a subscription to the literal subject: a wildcard gets nothing, without an error.
        self._tap = await client.tap(
            inbox, lambda subject, reply, data, raw: self._take(generation, subject, reply, data, raw)
        )
        self._consumer = f"{self._name}-{generation}-{random.getrandbits(32):08x}"
        config = {
            "name": self._consumer,
            "deliver_subject": inbox,
            "deliver_policy": "by_start_sequence",
            "opt_start_seq": base + 1,
            "ack_policy": "none",
            "replay_policy": "instant",
            "max_deliver": 1,
            "mem_storage": True,
            "num_replicas": 1,
            "idle_heartbeat": _HEARTBEAT_NS,
            "inactive_threshold": _INACTIVE_NS,
        }
        await self._make({"stream_name": self._stream, "config": config, "action": "create"})

    async def _make(self, wanted: dict[str, object]) -> None:
        seconds = patience(self._unmade, self._api.link.client.under_way, self._api.timeout)
        self._unmade += 1
        try:
            async with asyncio.timeout(seconds):
                await self._api.call(f"CONSUMER.CREATE.{self._stream}.{self._consumer}", wanted)
        except TimeoutError as error:
            raise away(TimeoutError("its consumer was not made in time")) from error
        self._unmade = 0

    async def _placed(self) -> None:
        """Wait for who gives consumers their places: it may have died with the last one.

        It alone knows of a consumer that there is none. This question is put again while nobody leads; that for a new
        consumer is not, and would be waited for in vain.
        """
        try:
            await self._api.call(f"CONSUMER.INFO.{self._stream}.{self._name}-{random.getrandbits(32):08x}")
        except ApiError as error:
            if error.code == UNAVAILABLE:
                raise

    async def _detach(self) -> None:
        client, tap, consumer = self._client, self._tap, self._consumer
        self._client, self._tap, self._consumer = None, None, ""
        if client is None or tap is None or client.is_closed:
            return
        try:
            await client.untap(tap)
            if consumer and client.is_connected:
                # Nobody waits for the answer: a consumer without interest ends by itself after 15 s.
                await client.publish(f"$JS.API.CONSUMER.DELETE.{self._stream}.{consumer}")
        except (OSError, nats_errors.Error) as error:
            _logger.debug("the old consumer of %s could not be taken back: %r", self._stream, error)

    def _take(self, generation: int, subject: str, reply: str, data: bytes, raw: bytes) -> None:
        cursor = self._cursor
        if cursor is None:
            return
        now = time.monotonic()
        delivered = parse_reply(reply) if reply else None
        if delivered is not None:
            action = cursor.message(generation, delivered.stream_seq, delivered.consumer_seq, now)
            if action is Action.DELIVER:
                if self._take_message(delivered, subject, data, raw):
                    return
                # It is taken for lost. `locate` says where it was, and does so once there is room.
                action = cursor.lost("what takes the events is full")
        else:
            headers = parse_headers(raw)
            if "Nats-Last-Consumer" not in headers:
                return
            action = cursor.heartbeat(generation, int(headers["Nats-Last-Consumer"]), now)
        self._act(action)

    def _reconnected(self) -> None:
        if self._cursor is not None and self._cursor.following:
            self._act(self._cursor.lost("the connection was made anew"))

    def _act(self, action: Action) -> None:
        if action is Action.RESET:
            self._wake.set()


def patience(unmade: int, ahead: int, most: float) -> float:
    """Seconds to wait for a consumer to be made, after so many in a row that were not; never longer than `most`.

    NATS may give it to a node that is dead and not known to be so (measured, for as long as the node was away): the
    next one has other dice. Where all are slow, it must not become ever more of them. ahead: questions under way.
    """
    return min(most, _MAKING_SECONDS * (1 << min(unmade, 30)) + _AHEAD_SECONDS * ahead)
