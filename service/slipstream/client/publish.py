"""A producer over HTTP whose every retry is safe: each event has a key, and is sent again with the same one."""

import asyncio
import json
import random
import ssl
import time
import uuid
from collections.abc import Callable
from typing import Any, Final, NamedTuple, Self

from slipstream.client.answer import Later, Refused, agreed, judge
from slipstream.client.connection import Connection, Endpoint, caller, request
from slipstream.client.http import Head, HttpError
from slipstream.client.retry import RetryState, asked_for
from slipstream.client.stream import PATH
from slipstream.protocol.retry import Backoff, Preferences

WINDOW_SECONDS: Final = 120.0
"""For so long JetStream knows an event again by its id; later a retry would store it twice."""

PREFERENCES: Final = Preferences(base_ms=200, backoff=Backoff.exponential, idempotency_aware=True, max_attempts=10)
"""What a producer asks for: ten attempts reach some 80 s, inside the window and beyond any change of a leader."""

IDLE_MOST: Final = 8
"""Connections that stay open without a publish on them."""

_ANSWER_BYTES: Final = 64 * 1024


class Unconfirmed(Exception):
    """The attempts, or the 120 s, are used up, and no answer said that the event is stored. It may be.

    state: with the key, the number of attempts and the last error code.
    """

    def __init__(self, message: str, state: RetryState) -> None:
        super().__init__(message)
        self.state = state


class Published(NamedTuple):
    """Where an event lies. position: its id in streams, without the event key. duplicate: it was stored before."""

    position: str
    seq: int
    duplicate: bool


class _Window:
    """How long ago the first request was made: by both clocks, as one may be set back, and the other stand still.

    state: whose `began_at` (Unix seconds) may be an earlier process's.
    """

    def __init__(self, state: RetryState, now: float) -> None:
        self.state = state
        self._since: float | None = None
        if state.began_at is not None and state.began_at <= now:
            self._since = time.monotonic() - (now - state.began_at)

    def began(self, now: float) -> None:
        """A request is made at `now` (Unix)."""
        self.state.began(now)
        if self._since is None:
            self._since = time.monotonic()

    def age(self, now: float) -> float | None:
        """In seconds at `now` (Unix); None before the first request, negative where nobody can tell."""
        if self.state.began_at is None:
            return None
        age = now - self.state.began_at
        return age if self._since is None else max(age, time.monotonic() - self._since)


class Publisher:
    """Publishes events of one tenant.

    ``async with Publisher(url, "acme") as publisher: await publisher.publish("orders.new", {"total": 42})``

    Many publishes may run at the same time, each on a connection of its own; a few stay open for the next ones, until
    `close`, or the end of an `async with` block.
    """

    def __init__(
        self,
        url: str,
        tenant: str | None = None,
        *,
        token: str | None = None,
        preferences: Preferences = PREFERENCES,
        context: ssl.SSLContext | None = None,
        answer_seconds: float = 10.0,
        roll: Callable[[], float] = random.random,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Prepare; nothing is sent.

        url: the server, with `/v1/events` added where it has no path. preferences: what to ask for of the server's
        retry policy (what it agrees to is obeyed). context: for https, the default one if None. answer_seconds: for one
        attempt altogether. roll: the jitter's dice, 0 <= roll() < 1. now: Unix seconds.

        Raises ValueError for a bad URL or header value.
        """
        self._endpoint = Endpoint.parse(url, PATH, [])
        self._headers = {
            "Accept": "application/json, application/problem+json",
            "Accept-Encoding": "identity",
            "Content-Type": "application/json",
            **caller(tenant, token, preferences),
        }
        request(self._endpoint, self._headers)  # Fails here and now, not at the first event.
        self._context = self._endpoint.context(context)
        self._terms = asked_for(preferences)
        self._answer_seconds = answer_seconds
        self._roll = roll
        self._now = now
        self._idle: list[Connection] = []
        self._closed = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close what is open and idle; a publish that is under way ends by itself. May be called twice."""
        self._closed = True
        while self._idle:
            self._idle.pop().close()

    async def publish(
        self,
        topic: str,
        data: object,
        *,
        event: str | None = None,
        key: str | None = None,
        state: RetryState | None = None,
        keep: Callable[[RetryState], None] | None = None,
    ) -> Published:
        """Publish one event, and again with the same idempotency key until it is stored.

        data: a string is sent as it is, anything else as JSON. event: its name. key: its business id. state: where an
        earlier call, or an earlier process, stood with this very event; its `key` is the idempotency key, a new one is
        made where it has none. keep: called with the state before each request and after each failure, to store it.

        Raises Refused when the server will not have the event however often it comes, Unconfirmed when the agreed
        attempts or the 120 s are used up, ValueError for data that JSON does not have or a key that no header carries.
        """
        state = RetryState(self._terms) if state is None else state
        state.key = state.key or uuid.uuid4().hex
        keep = keep or _forget
        window = _Window(state, self._now())
        sent = request(
            self._endpoint, {**self._headers, "Idempotency-Key": state.key}, "POST", body_of(topic, data, event, key)
        )
        last = state.code or "no answer"
        while True:
            delay = state.wait(self._now())
            if state.exhausted:
                raise Unconfirmed(f"{state.attempt} attempts failed; the last: {last}", state)
            self._check_window(window, delay, last)
            await asyncio.sleep(delay)
            # Once more: a process that was stopped, or a laptop that was shut, has waited for longer.
            self._check_window(window, 0.0, last)
            window.began(self._now())
            keep(state)
            match await self._attempt(sent, state):
                case Published() as place:
                    state.succeeded()
                    return place
                case Refused() as refusal:
                    if state.attempt:
                        refusal.add_note("an attempt before was not confirmed: the event may be stored")
                    raise refusal
                case Later() as later:
                    last = f"{later.status} {later.code}: {later.message}" if later.status else later.message
                    state.failed(self._now(), self._roll(), later.after or 0.0, later.code)
                    keep(state)

    def _check_window(self, window: _Window, delay: float, last: str) -> None:
        """Raise Unconfirmed where a request after `delay` seconds may be answered after the first one is forgotten."""
        age = window.age(self._now())
        if age is None:
            return
        if age < 0:
            told = "the clock was set back, so that a retry could store it twice"
            raise Unconfirmed(f"{told}; the last: {last}", window.state)
        if age + delay + self._answer_seconds > WINDOW_SECONDS:
            raise Unconfirmed(f"a retry after {age + delay:.0f} s could store it twice; the last: {last}", window.state)

    async def _attempt(self, sent: bytes, state: RetryState) -> Published | Refused | Later:
        try:
            async with asyncio.timeout(self._answer_seconds):
                head, body = await self._exchange(sent)
        except (OSError, TimeoutError, HttpError) as error:
            return Later("", f"{type(error).__name__}: {error}", 0, None)
        state.terms = agreed(head, state.terms)
        return _place(body) if head.status == 200 else judge(head, body, state.terms)  # noqa: PLR2004

    async def _exchange(self, sent: bytes) -> tuple[Head, bytes]:
        connection = await self._asked(sent)
        try:
            body = await connection.read_all(_ANSWER_BYTES, self._answer_seconds)
        except BaseException:
            connection.close()
            raise
        if connection.reusable and not self._closed and len(self._idle) < IDLE_MOST:
            self._idle.append(connection)
        else:
            connection.close()
        return connection.head, body

    async def _asked(self, sent: bytes) -> Connection:
        """A connection on which the request was sent, and the answer has begun."""
        while self._idle:
            connection = self._idle.pop()
            try:
                await connection.ask(sent, self._answer_seconds)
            except (ConnectionError, HttpError):
                connection.close()  # It was closed meanwhile; asking again is safe by the key.
            except BaseException:
                connection.close()
                raise
            else:
                return connection
        return await Connection.open(self._endpoint, sent, context=self._context, seconds=self._answer_seconds)


def body_of(topic: str, data: object, event: str | None = None, key: str | None = None) -> bytes:
    """The JSON object of one event. Raises ValueError for data that JSON does not have."""
    members: dict[str, Any] = {"topic": topic, "data": data, "event": event, "key": key}
    given = {name: value for name, value in members.items() if value is not None or name == "data"}
    try:
        return json.dumps(given, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
    except (TypeError, RecursionError) as error:
        raise ValueError(f"the data is nothing that JSON has: {error}") from error


def _place(body: bytes) -> Published | Refused:
    try:
        match json.loads(body):
            case {"position": str(position), "seq": int(seq), "duplicate": bool(duplicate)}:
                return Published(position, seq, duplicate)
            case _:
                pass
    except ValueError:
        pass
    return Refused("", "the answer says nothing of a stored event: check the URL", 200)


def _forget(_: RetryState) -> None:
    """Keep nothing."""
