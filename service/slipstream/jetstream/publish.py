"""Publish with JetStream's ack: stored, or an error that says whether to try again."""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Awaitable, Iterable
from dataclasses import dataclass
from typing import Final

import orjson

from slipstream.jetstream import stream as streams
from slipstream.jetstream.api import Api, ApiError, away
from slipstream.jetstream.latest import Latest
from slipstream.jetstream.pipeline import Ack, Pipeline
from slipstream.jetstream.subjects import stream_of
from slipstream.log.store import Outcome, Stored
from slipstream.protocol.errors import Code, SlipstreamError
from slipstream.protocol.publication import Publication
from slipstream.protocol.topic import subject

_MESSAGE_TOO_LARGE: Final = 10054
_EPOCH_SECONDS: Final = 5.0
_FORGET_SECONDS: Final = 60.0
"""Longer than any question for an epoch is under way."""

_SENDING_SECONDS: Final = 10.0
"""Nothing more of a request is sent after so long: its producer has the answer before it gives up."""

_HEADERS_MOST: Final = 4096
"""More than all headers of an event can weigh: name 128 and key 256 characters of at most 4 bytes, and the rest."""


@dataclass(slots=True)
class _Epoch:
    latest: Latest[str]
    text: str = ""
    at: float = float("-inf")
    asked_at: float = float("-inf")


class Publisher:
    """A `log.store.Store`. Nothing is sent without waiting for the ack: unacked publishes lose messages."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._pipeline = Pipeline(api.link)
        self._epochs: dict[str, _Epoch] = {}

    async def publish(
        self,
        tenant: str,
        topic: str,
        data: bytes,
        *,
        event: str = "",
        key: str | None = None,
        message_id: str | None = None,
        traceparent: str | None = None,
    ) -> Stored:
        """Store one event (already checked) and answer its place.

        `message_id` is the `Nats-Msg-Id` that makes a retry within 120 s safe. Raises UPSTREAM_UNAVAILABLE when
        nobody acked in 5 s: the event may or may not be stored, and only a `message_id` makes trying again safe.
        """
        outcome = await (await self.send(tenant, Publication(topic, data, event, key, message_id), traceparent))
        if isinstance(outcome, SlipstreamError):
            raise outcome
        return outcome

    async def send(self, tenant: str, publication: Publication, traceparent: str | None = None) -> Awaitable[Outcome]:
        """See `Store.send`. Does not raise SlipstreamError: whatever goes wrong is the outcome."""
        return await self._send(tenant, publication, traceparent)

    async def publish_many(
        self, tenant: str, publications: Iterable[Publication], traceparent: str | None = None
    ) -> list[Outcome]:
        """See `Store.publish_many`."""
        sent: list[asyncio.Future[Outcome]] = []
        settled, until = 0, time.monotonic() + _SENDING_SECONDS
        broken: SlipstreamError | None = None
        for publication in publications:
            while broken is None and settled < len(sent) and sent[settled].done():
                broken = _broken(sent[settled].result())
                settled += 1
            if broken is None and time.monotonic() > until:
                broken = _unsent(f"NATS takes no more than {len(sent)} events in {_SENDING_SECONDS:g} s", 2.0)
            if broken is None:
                sent.append(await self._send(tenant, publication, traceparent))
            else:
                sent.append(_settled(broken))
        return [await one for one in sent]

    async def _send(self, tenant: str, publication: Publication, traceparent: str | None) -> asyncio.Future[Outcome]:
        headers = {"Nats-Expected-Stream": stream_of(tenant)}
        if publication.event:
            headers["Sse-Event"] = publication.event
        if publication.key is not None:
            headers["Sse-Key"] = publication.key
        if publication.message_id is not None:
            headers["Nats-Msg-Id"] = publication.message_id
        if traceparent is not None:
            headers["traceparent"] = traceparent
        outcome: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        try:
            self._check_size(len(publication.data), headers)
            # Known before anything is sent: a position that cannot be told would make a stored event look lost.
            epoch = await self._epoch(tenant)

            def done(ack: Ack) -> None:
                if not outcome.done():
                    outcome.set_result(_outcome(tenant, epoch, ack))

            await self._pipeline.send(tenant, subject(tenant, publication.topic), publication.data, headers, done)
        except SlipstreamError as error:
            outcome.set_result(error)
        return outcome

    def _check_size(self, data_bytes: int, headers: dict[str, str]) -> None:
        # nats-py counts the data alone; the server would close the connection, and with it everybody's requests.
        most = self._api.link.client.max_payload
        if data_bytes + _HEADERS_MOST > most and data_bytes + _weight(headers) > most:
            raise SlipstreamError(
                Code.BAD_REQUEST, "the event is larger than this NATS server takes (max_payload)", status=413
            )

    async def _epoch(self, tenant: str) -> str:
        """The epoch of the tenant's stream, at most five seconds old.

        A position that is wrong by then is told as a reset, never followed.
        """
        known = self._epochs.get(tenant)
        if known is None:
            latest = Latest(f"epoch-{tenant}", functools.partial(self._found, tenant))
            known = _Epoch(latest)
        now = time.monotonic()
        if now - known.at > _EPOCH_SECONDS:
            self._put_last(tenant, known, now)
            known.text, known.at = await known.latest.get(), now
        return known.text

    def _put_last(self, tenant: str, known: _Epoch, now: float) -> None:
        """It is asked for now. What was not for longer is forgotten: its tenant may be gone."""
        known.asked_at = now
        self._epochs[tenant] = self._epochs.pop(tenant, known)
        while now - self._epochs[oldest := next(iter(self._epochs))].asked_at > _FORGET_SECONDS:
            del self._epochs[oldest]

    async def _found(self, tenant: str) -> str:
        try:
            return (await streams.find(self._api, tenant)).state.epoch
        except SlipstreamError as error:
            if error.code is not Code.NOT_FOUND:
                raise
            raise SlipstreamError(
                Code.UPSTREAM_UNAVAILABLE, f"no stream takes the events of tenant {tenant} now", retry_after=2.0
            ) from error


def _settled(outcome: Outcome) -> asyncio.Future[Outcome]:
    future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
    future.set_result(outcome)
    return future


def _broken(outcome: Outcome) -> SlipstreamError | None:
    """Why the events behind this one are not sent; None where nothing speaks against it."""
    if not isinstance(outcome, SlipstreamError) or outcome.code is not Code.UPSTREAM_UNAVAILABLE:
        return None
    return _unsent("an event before it was not acknowledged", outcome.retry_after)


def _unsent(why: str, retry_after: float | None) -> SlipstreamError:
    return SlipstreamError(
        Code.UPSTREAM_UNAVAILABLE, f"not sent, because {why}: send it again", retry_after=retry_after
    )


def _weight(headers: dict[str, str]) -> int:
    """The bytes of a NATS header block (ADR-4), which count towards max_payload."""
    lines = sum(len(f"{name}: {value}\r\n".encode()) for name, value in headers.items())
    return len("NATS/1.0\r\n") + lines + len("\r\n")


def _outcome(tenant: str, epoch: str, ack: Ack) -> Outcome:
    if isinstance(ack, SlipstreamError):
        return ack
    try:
        answer = orjson.loads(ack)
        refusal = answer.get("error")
        if refusal is None:
            return Stored(epoch, int(answer["seq"]), bool(answer.get("duplicate", False)))
    except (ValueError, LookupError, AttributeError) as error:
        # Raising here would leave somebody waiting for ever.
        return away(ValueError(f"its answer is none of JetStream's: {error!r}"))
    refused = ApiError(refusal.get("code", 500), refusal.get("err_code", 0), refusal.get("description", "unknown"))
    if refused.err_code == _MESSAGE_TOO_LARGE:
        return SlipstreamError(Code.BAD_REQUEST, f"the event is too large for its stream: {refused}", status=413)
    return SlipstreamError(
        Code.UPSTREAM_UNAVAILABLE, f"JetStream did not store the event of tenant {tenant}: {refused}", retry_after=2.0
    )
