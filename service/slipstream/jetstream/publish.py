"""Publish with JetStream's ack: stored, or an error that says whether to try again."""

from __future__ import annotations

import time

import orjson
from nats import errors as nats_errors

from slipstream.jetstream import stream as streams
from slipstream.jetstream.api import Api, ApiError, away
from slipstream.jetstream.subjects import stream_of
from slipstream.log.store import Stored
from slipstream.protocol.errors import Code, SlipstreamError
from slipstream.protocol.topic import subject

_TIMEOUT = 5.0
_MESSAGE_TOO_LARGE = 10054
_EPOCH_SECONDS = 5.0


class Publisher:
    """A `log.store.Store`. Nothing is sent without waiting for the ack: unacked publishes lose messages."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._epochs: dict[str, tuple[float, str]] = {}

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
        headers = {"Nats-Expected-Stream": stream_of(tenant)}
        if event:
            headers["Sse-Event"] = event
        if key is not None:
            headers["Sse-Key"] = key
        if message_id is not None:
            headers["Nats-Msg-Id"] = message_id
        if traceparent is not None:
            headers["traceparent"] = traceparent
        client = self._api.link.client
        if len(data) + _weight(headers) > client.max_payload:
            # nats-py counts the data alone; the server would close the connection, and with it everybody's requests.
            raise SlipstreamError(
                Code.BAD_REQUEST, "the event is larger than this NATS server takes (max_payload)", status=413
            )
        try:
            message = await client.request(subject(tenant, topic), data, timeout=_TIMEOUT, headers=headers)
        except nats_errors.NoRespondersError as error:
            raise SlipstreamError(
                Code.UPSTREAM_UNAVAILABLE,
                f"no stream takes the events of tenant {tenant} now: JetStream is electing or the stream is gone",
                retry_after=2.0,
            ) from error
        except (TimeoutError, OSError, nats_errors.Error) as error:
            raise away(error) from error
        answer = orjson.loads(message.data)
        refusal = answer.get("error")
        if refusal is not None:
            raise _refused(
                tenant,
                ApiError(refusal.get("code", 500), refusal.get("err_code", 0), refusal.get("description", "unknown")),
            )
        return Stored(await self._epoch(tenant), int(answer["seq"]), bool(answer.get("duplicate", False)))

    async def _epoch(self, tenant: str) -> str:
        """The epoch of the tenant's stream, at most five seconds old.

        A position that is wrong by then is told as a reset, never followed.
        """
        now = time.monotonic()
        known = self._epochs.get(tenant)
        if known is None or now - known[0] > _EPOCH_SECONDS:
            known = (now, (await streams.find(self._api, tenant)).state.epoch)
            self._epochs[tenant] = known
        return known[1]


def _weight(headers: dict[str, str]) -> int:
    """The bytes of a NATS header block (ADR-4), which count towards max_payload."""
    lines = sum(len(f"{name}: {value}\r\n".encode()) for name, value in headers.items())
    return len("NATS/1.0\r\n") + lines + len("\r\n")


def _refused(tenant: str, error: ApiError) -> SlipstreamError:
    if error.err_code == _MESSAGE_TOO_LARGE:
        return SlipstreamError(Code.BAD_REQUEST, f"the event is too large for its stream: {error}", status=413)
    return SlipstreamError(
        Code.UPSTREAM_UNAVAILABLE, f"JetStream did not store the event of tenant {tenant}: {error}", retry_after=2.0
    )
