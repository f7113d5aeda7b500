"""Direct Get: read a stream by sequence, filter or time without a consumer (NATS ADR-31).

Batches need many answers to one request. One subscription per connection carries them all; a token in the inbox says
whose they are, and a batch in flight has a bound (its own limit) and a deadline.
"""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple

import orjson
from nats import errors as nats_errors

from slipstream.jetstream.api import ApiError, away
from slipstream.jetstream.client import Client, parse_headers
from slipstream.jetstream.link import Link
from slipstream.jetstream.violation import Forbidden, Violation

_NO_MESSAGE = "404"
_END = "204"
_NOBODY = "503"


class Stored(NamedTuple):
    """A stored message: sequence, subject, RFC 3339 stored time, headers, payload."""

    seq: int
    subject: str
    time: str
    headers: dict[str, str]
    payload: bytes


class Answer(NamedTuple):
    """What came for one request; `pending` is what the replica still has for the filter."""

    messages: list[Stored]
    pending: int


class _Collector:
    __slots__ = ("answer", "done", "subject")

    def __init__(self, subject: str, done: asyncio.Future[Answer]) -> None:
        self.subject = subject
        self.done = done
        self.answer: list[Stored] = []

    def forsake(self, error: nats_errors.Error) -> None:
        """Nothing will come: the connection is gone on which it was on its way, or this was refused."""
        if not self.done.done():
            self.done.set_exception(error)
            self.done.exception()  # it may be that nobody waits yet, and gives up before

    def take(self, payload: bytes, raw: bytes) -> None:
        headers = parse_headers(raw)
        status = headers.get("Status")
        if self.done.done():
            return
        if status == _END:
            self.done.set_result(Answer(self.answer, int(headers.get("Nats-Num-Pending", "0"))))
        elif status == _NO_MESSAGE:
            self.done.set_result(Answer(self.answer, 0))
        elif status == _NOBODY:
            self.done.set_exception(ApiError(503, 0, "nobody answers: the stream is gone, or JetStream is electing"))
        elif status is not None:
            self.done.set_exception(ApiError(int(status), 0, headers["Description"] or "Direct Get failed"))
        else:
            self.answer.append(
                Stored(
                    int(headers["Nats-Sequence"]), headers["Nats-Subject"], headers["Nats-Time-Stamp"], headers, payload
                )
            )


class Direct:
    """Direct Get over a link."""

    def __init__(self, link: Link, timeout: float = 3.0) -> None:
        self._link = link
        self._timeout = timeout
        self._inbox = ""
        self._client: Client | None = None
        self._flights: dict[str, _Collector] = {}
        self._token = 0
        self._opening = asyncio.Lock()
        link.on_lost(self._forsake)
        link.on_violation(self._refuse)

    async def batch(self, stream: str, body: dict[str, Any]) -> Answer:
        """A batch request (`batch` must be in `body`). An empty answer is no proof of the end: replicas may lag."""
        self._token += 1
        token = str(self._token)
        subject = f"$JS.API.DIRECT.GET.{stream}"
        collector = _Collector(subject, asyncio.get_running_loop().create_future())
        self._flights[token] = collector
        try:
            # Not wait_for, which Python 3.11 lets swallow a cancellation that comes together with the answer.
            async with asyncio.timeout(self._timeout):
                client = await self._attach()
                reply = f"{self._inbox}.{token}"
                await client.publish(subject, orjson.dumps(body), reply=reply)
                return await collector.done
        except Forbidden as error:
            raise away(error) from error
        except (TimeoutError, OSError, nats_errors.Error) as error:
            self._link.suspect(f"reading {stream}")
            raise away(error) from error
        finally:
            del self._flights[token]

    async def _attach(self) -> Client:
        async with self._opening:
            client = self._link.client
            if self._client is not client:
                self._inbox = client.new_inbox()
                await client.tap(f"{self._inbox}.*", self._take)
                self._client = client
            return client

    def _forsake(self) -> None:
        for collector in self._flights.values():
            collector.forsake(nats_errors.ConnectionClosedError())

    def _refuse(self, violation: Violation) -> None:
        inboxes = self._link.client.inboxes
        for collector in self._flights.values():
            if violation.concerns(collector.subject, inboxes):
                collector.forsake(violation.error(collector.subject, inboxes))

    def _take(self, subject: str, _reply: str, payload: bytes, raw: bytes) -> None:
        collector = self._flights.get(subject.rpartition(".")[2])
        if collector is not None:
            collector.take(payload, raw)
