"""A tenant's feed: from the stream's messages to the log's records, and the check of our own past on every reset."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from slipstream.jetstream.api import Api
from slipstream.jetstream.client import parse_headers
from slipstream.jetstream.feed import Feed
from slipstream.jetstream.source import JetStreamSource
from slipstream.jetstream.subjects import Delivered
from slipstream.log.onward import examine, onward
from slipstream.log.resume import Broken
from slipstream.log.source import Sink, State
from slipstream.protocol.control import Reason
from slipstream.protocol.event import make_record
from slipstream.protocol.position import Position, mark_of
from slipstream.protocol.topic import topic_of

_logger = logging.getLogger(__name__)


class Follower:
    """Feeds one tenant's sink, from the head of the stream on, through every fault of the way there.

    A sink that is full raises asyncio.QueueFull from `append`: the feed then goes on from that very event, as after a
    loss, once `room()` has returned (or raises SlipstreamError, and is asked again).
    """

    def __init__(
        self,
        api: Api,
        feed_api: Api,
        source: JetStreamSource,
        process: str,
        sink: Sink,
        room: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._source = source
        self._sink = sink
        self._room = room
        self._state: State | None = None
        self._last = 0
        self._last_time_ms: int | None = None
        self.feed = Feed(
            api, feed_api, source.stream, process, take=self._take, locate=self._locate, confirm=self._confirm
        )

    async def run(self) -> None:
        """Follow until cancelled."""
        await self.feed.run()

    async def _locate(self, last: int | None) -> int:
        if self._room is not None:
            await self._room()
        if last is None or self._state is None:
            state = await self._source.state()
            self._begin(state, state.last_seq, state.last_time_ms, None)
            return state.last_seq
        mark = None if self._last_time_ms is None else mark_of(self._last_time_ms)
        position = Position(self._state.epoch, self._last, mark)
        verdict, state = await examine(position, self._source)
        if not isinstance(verdict, Broken):
            self._state = state
            return self._last
        base = await onward(position, verdict, self._source, state, int(time.time() * 1000))
        self._begin(state, base, await self._source.time_of(base) if base else None, verdict.reason)
        return base

    async def _confirm(self) -> bool:
        return self._state is not None and (await self._source.state()).epoch == self._state.epoch

    def _begin(self, state: State, base: int, base_time_ms: int | None, reason: Reason | None) -> None:
        self._state, self._last, self._last_time_ms = state, base, base_time_ms
        self._sink.restart(state, base, base_time_ms, reason)

    def _take(self, delivered: Delivered, subject: str, data: bytes, raw: bytes) -> bool:
        seq, _, time_ms = delivered
        if seq != self._last + 1 and self._state is not None:
            # Evicted between our look at the stream and the consumer's start: an unfiltered feed has no other holes.
            self._begin(self._state, seq - 1, None, Reason.expired)
        headers = parse_headers(raw) if raw else None
        record = make_record(seq, time_ms, topic_of(subject), headers, data, self._source.event_bytes)
        try:
            self._sink.append(record)
        except asyncio.QueueFull:
            return False
        except Exception:
            # Reading it again would fail again, and passing over it in silence would be a loss that nobody is told.
            _logger.exception("event %d of %s failed in this process; its readers are told a gap", seq, subject)
            if self._state is not None:
                self._begin(self._state, seq, time_ms, Reason.undeliverable)
        self._last, self._last_time_ms = seq, time_ms
        return True
