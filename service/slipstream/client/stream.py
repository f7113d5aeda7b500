"""A stream of events that outlives its connections: it comes back with its last id until it is closed or refused."""

import asyncio
import contextlib
import logging
import random
import ssl
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, Self

from slipstream.client.answer import Later, Refused, agreed, heartbeat_seconds, is_stream, judge, judge_error
from slipstream.client.connection import Connection, Endpoint, caller, request
from slipstream.client.http import HttpError
from slipstream.client.order import GAP, Order, OrderViolation, is_control
from slipstream.client.parser import Message, Parser
from slipstream.client.retry import RetryState, asked_for
from slipstream.protocol.retry import Backoff, Preferences, Terms

PATH: Final = "/v1/events"
SILENT_HEARTBEATS: Final = 2.5
"""Heartbeats that may be missing, in part, before the connection counts as dead."""

PREFERENCES: Final = Preferences(backoff=Backoff.exponential, idempotency_aware=True, max_attempts=30)
"""What a stream asks for: a resume is safe to repeat, and five attempts would not outlast a restart of the log."""

_ANSWER_BYTES: Final = 64 * 1024
_GLANCE_SECONDS: Final = 0.1
"""Once, for what has come already, where the time for silence is over because nobody asked meanwhile."""
_logger = logging.getLogger(__name__)


class Unreachable(Exception):
    """No stream could be opened for `give_up_seconds`, or in the agreed attempts; the message has the last reason."""


@dataclass(slots=True)
class Counters:
    """What happened so far.

    connects: streams that were opened. resumes: those of them that sent a last event id. gaps: told losses.
    events: producers' events handed out. failures: attempts that opened no stream.
    """

    connects: int = 0
    resumes: int = 0
    gaps: int = 0
    events: int = 0
    failures: int = 0


@dataclass(frozen=True, slots=True)
class _Answer:
    """What an attempt brought: the terms of coming back, and an open stream or the refusal of one."""

    terms: Terms
    connection: Connection | None = None
    refusal: Refused | Later | None = None

    def close(self) -> None:
        """Drop the stream that nobody came for."""
        if self.connection is not None:
            self.connection.close()


class Stream:
    """One subscription; iterate over it.

    ``async with Stream(url, ["orders.>"], "acme") as stream: async for message in stream: ...``

    Iteration gives producers' events and `stream.gap`, over all reconnects; it ends only by `close` or an exception:
    Refused, OrderViolation, Unreachable, and ValueError for what is no event stream. A cancelled `anext` (a timeout
    around it) loses nothing: the next one goes on, also with a connection that was being opened, however short the
    timeout.

    last_event_id: of the last message handed out, for a later Stream to go on from. counters: see Counters.
    retry: when it comes back, and on what terms; kept with `to_dict`, a later Stream goes on with it.
    """

    def __init__(  # noqa: PLR0913 - each is one thing a reader may want, all named
        self,
        url: str,
        topics: Iterable[str] = (),
        tenant: str | None = None,
        *,
        last_event_id: str | None = None,
        since: str | None = None,
        token: str | None = None,
        parameters: Iterable[tuple[str, str]] = (),
        context: ssl.SSLContext | None = None,
        control: bool = False,
        connect_seconds: float = 10.0,
        silence_seconds: float = 60.0,
        give_up_seconds: float = 300.0,
        preferences: Preferences = PREFERENCES,
        retry: RetryState | None = None,
        roll: Callable[[], float] = random.random,
    ) -> None:
        """Prepare; nothing is sent before the first message is awaited.

        url: the server, with `/v1/events` added where it has no path. since: `now`, `earliest`, `last` or an RFC 3339
        time. parameters: more of the query. context: for https, the default one if None. control: hand out the other
        `stream.*` events too. connect_seconds: for connection, request and headers together. silence_seconds: until
        the server has told its heartbeat, then 2.5 of those. preferences: what to ask for of the server's retry policy
        (what it agrees to is obeyed). retry: to go on as an earlier Stream would have, with its wait and its failures.
        roll: the jitter's dice, 0 <= roll() < 1.

        Raises ValueError for a bad URL or header value, SlipstreamError for a malformed last_event_id.
        """
        query = [("topic", topic) for topic in topics]
        query += [("since", since)] if since else []
        self._endpoint = Endpoint.parse(url, PATH, [*query, *parameters])
        # The second media type says that this client reads statuses: a passing refusal comes with its own, not as 200.
        self._headers = {
            "Accept": "text/event-stream, application/problem+json",
            "Accept-Encoding": "identity",
            "Cache-Control": "no-store",
            "Connection": "close",
            **caller(tenant, token, preferences),
        }
        self.last_event_id = last_event_id or ""
        self.counters = Counters()
        self.retry = RetryState(asked_for(preferences)) if retry is None else retry
        self._order = Order(last_event_id)
        self._request()  # Fails here and now, not at the first reconnect.
        self._context = self._endpoint.context(context)
        self._control = control
        self._connect_seconds = connect_seconds
        self._silence_default = self._silence = silence_seconds
        self._give_up_seconds = give_up_seconds
        self._roll = roll
        self._opening: asyncio.Task[_Answer] | None = None
        self._connection: Connection | None = None
        self._silent_at = 0.0
        self._glanced = False
        self._parser = Parser()
        self._pending: deque[Message] = deque()
        self._connect_at: float | None = None
        self._away_since: float | None = None
        self._closing = asyncio.Event()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        opening = self._opening
        self.close()
        if opening is not None:
            await asyncio.wait({opening}, timeout=self._connect_seconds)

    def close(self) -> None:
        """End the stream; a later `anext` raises StopAsyncIteration. May be called twice."""
        self._closing.set()
        opening, self._opening = self._opening, None
        if opening is not None and not opening.cancel() and not opening.cancelled() and opening.exception() is None:
            # It was open, and nobody had come for it.
            opening.result().close()
        self._disconnect()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Message:
        while not self._closing.is_set():
            while self._pending:
                message = self._pending.popleft()
                if self._accept(message):
                    return message
            if self._connection is None:
                await self._connect()
            else:
                await self._receive(self._connection)
        raise StopAsyncIteration

    def _request(self) -> bytes:
        resume = {"Last-Event-ID": self.last_event_id} if self.last_event_id else {}
        return request(self._endpoint, self._headers | resume)

    async def _connect(self) -> None:
        """Wait for the moment the next attempt is due, then make it, or go on waiting for the one under way."""
        if self._opening is None and not await self._due():
            return
        # A task of its own: a caller whose patience is shorter than connecting takes would begin anew for ever.
        opening = self._opening = self._opening or asyncio.create_task(self._open(), name="slipstream-client-open")
        await asyncio.wait({opening})
        if self._closing.is_set():
            return
        self._opening = None
        try:
            answer = opening.result()
        except (OSError, TimeoutError, HttpError) as error:
            self._failed(f"{type(error).__name__}: {error}")
            return
        self.retry.terms = answer.terms
        if answer.refusal is not None:
            self._heed(answer.refusal, opened=False)
            return
        self._connection = answer.connection
        self._parser = Parser(self.last_event_id)
        self._silence = self._silence_default
        self._heard()
        self.counters.connects += 1
        self.counters.resumes += bool(self.last_event_id)

    async def _due(self) -> bool:
        """Wait until an attempt may be made; False where the stream was closed before."""
        loop = asyncio.get_running_loop()
        if self._away_since is None:
            self._away_since = loop.time()
        if self._connect_at is None:
            self._connect_at = loop.time() + self.retry.wait(time.time())
        with contextlib.suppress(TimeoutError):  # The time is up: that is the normal case.
            async with asyncio.timeout_at(self._connect_at):
                await self._closing.wait()
        if self._closing.is_set():  # It may have come just as the time was up.
            return False
        self.retry.began(time.time())
        return True

    async def _open(self) -> _Answer:
        """One attempt. Raises OSError, TimeoutError or HttpError."""
        connection = await Connection.open(
            self._endpoint, self._request(), context=self._context, seconds=self._connect_seconds
        )
        terms = agreed(connection.head, self.retry.terms)
        if is_stream(connection.head):
            return _Answer(terms, connection)
        try:
            body = await connection.read_all(_ANSWER_BYTES, self._connect_seconds)
        finally:
            connection.close()
        return _Answer(terms, refusal=judge(connection.head, body, terms))

    async def _receive(self, connection: Connection) -> None:
        loop = asyncio.get_running_loop()
        if loop.time() >= self._silent_at and not self._glanced:
            self._glanced = True
            self._silent_at = loop.time() + _GLANCE_SECONDS
        try:
            # What is left of the silence: a caller may have cancelled this wait for its end many times.
            body = await connection.read(max(0.0, self._silent_at - loop.time()))
        except TimeoutError:
            self._ended(f"silent for {self._silence:g} s")
            return
        except (OSError, HttpError) as error:
            self._ended(f"{type(error).__name__}: {error}")
            return
        self._heard()
        if not body:
            self._ended("the server ended the stream")
            return
        try:
            self._pending.extend(self._parser.feed(body))
        except ValueError:
            self.close()
            raise
        if self._parser.retry is not None:
            self.retry.retry_ms = self._parser.retry

    def _heard(self) -> None:
        """The server has said something: from now on it may be silent for so long."""
        self._silent_at = asyncio.get_running_loop().time() + self._silence
        self._glanced = False

    def _accept(self, message: Message) -> bool:
        """Take a message in its turn; True when it is for the caller."""
        try:
            self._order.check(message.id, message.event)
        except OrderViolation:
            self.close()
            raise
        self.last_event_id = message.id
        match message.event:
            case "stream.ready":
                self._away_since = None
                self.retry.succeeded()
                if heartbeat := heartbeat_seconds(message.data):
                    self._silence = SILENT_HEARTBEATS * heartbeat
                    self._heard()
            case "stream.gap":
                self.counters.gaps += 1
            case "stream.drain":
                self._ended("the server drains")
            case "error":
                self._heed(judge_error(message.data), opened=self._away_since is None)
            case name:
                self.counters.events += not is_control(name)
        return self._control or message.event == GAP or not is_control(message.event)

    def _heed(self, verdict: Refused | Later, *, opened: bool) -> None:
        if isinstance(verdict, Refused):
            self.close()
            raise verdict
        reason = f"{verdict.status} {verdict.code}: {verdict.message}"
        if opened:
            self._ended(reason, verdict)
        else:
            self._failed(reason, verdict)

    def _ended(self, reason: str, verdict: Later | None = None) -> None:
        """An open stream is over; come back after the server's time."""
        if self._away_since is not None:  # It never became ready.
            self._failed(reason, verdict)
            return
        after, code = (None, "") if verdict is None else (verdict.after, verdict.code)
        self._schedule(reason, self.retry.ended(time.time(), after, code))

    def _failed(self, reason: str, verdict: Later | None = None) -> None:
        self.counters.failures += 1
        after, code = (None, "") if verdict is None else (verdict.after, verdict.code)
        floor = self.retry.retry_ms / 1000 if after is None else after
        delay = self.retry.failed(time.time(), self._roll(), floor, code)
        away = asyncio.get_running_loop().time() - (self._away_since or 0.0)
        if self.retry.exhausted or (self._away_since is not None and away > self._give_up_seconds):
            self.close()
            raise Unreachable(f"no stream in {self.retry.attempt} attempts, {away:.0f} s; the last: {reason}")
        self._schedule(reason, delay)

    def _schedule(self, reason: str, delay: float) -> None:
        self._disconnect()
        self._connect_at = asyncio.get_running_loop().time() + delay
        _logger.info("%s: %s; again in %.2f s", self._endpoint.authority, reason, delay)

    def _disconnect(self) -> None:
        """Drop the connection, and what it brought that was not handed out: the resume brings it again."""
        self._pending.clear()
        if self._connection is not None:
            self._connection.close()
            self._connection = None
