"""A bounded read through an ephemeral pull consumer: what Direct Get cannot answer (NATS ADR-13)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any, NamedTuple

import orjson
from nats import errors as nats_errors

from slipstream.jetstream.api import Api, ApiError, away
from slipstream.jetstream.client import Client, parse_headers
from slipstream.jetstream.subjects import parse_reply
from slipstream.protocol.errors import Code, SlipstreamError
from slipstream.resilience.abandoned import abandoned

_BATCH = 256
_FIRST_BATCH = 16
_BATCH_BYTES = 256 * 1024
_NO_MESSAGES = "404"

_Arrived = tuple[str, str, bytes, bytes]


class Pulled(NamedTuple):
    """A message as a consumer delivers it; `time_ms` is its stored time."""

    seq: int
    time_ms: int
    subject: str
    headers: dict[str, str]
    payload: bytes


def batch_after(batch: list[Pulled]) -> int:
    """How many messages to ask for next, so that they weigh about 256 KiB if they are like `batch`.

    Not by the request's `max_bytes`: a `last_per_subject` consumer skips the message that does not fit and never
    delivers it (nats-server 2.15.1, measured: of five messages of 100 kB one was lost).
    """
    weight = sum(len(one.payload) for one in batch)
    return max(1, min(_BATCH, _BATCH_BYTES * len(batch) // max(1, weight)))


async def pull(api: Api, stream: str, config: dict[str, Any]) -> AsyncGenerator[list[Pulled], None]:
    """Make the consumer that `config` describes, yield what it has at this moment in bounded lists, remove it.

    It ends when it has yielded as many as the consumer had when it was made, so that a busy stream cannot keep it
    going; where some of them were evicted meanwhile, when the consumer's own count is zero. "No messages" is not the
    end: a `last_per_subject` consumer says so once for each event of its list that is gone (nats-server 2.15.1,
    measured), and has the others all the same.
    """
    place = f"{stream}.{config['name']}"
    client = api.link.client
    inbox = client.new_inbox()
    queue: asyncio.Queue[_Arrived] = asyncio.Queue(maxsize=_BATCH + 8)
    size = _FIRST_BATCH
    making = asyncio.create_task(
        _pending(api, f"CREATE.{place}", {"stream_name": stream, "config": config, "action": "create"}),
        name=f"make-{config['name']}",
    )
    making.add_done_callback(abandoned)
    try:
        try:
            left = misses = await asyncio.shield(making)
            tap = await client.tap(inbox, lambda *message: queue.put_nowait(message))
            try:
                while left > 0:
                    size = min(left, size)
                    request = orjson.dumps({"batch": size, "no_wait": True})
                    await client.publish(f"$JS.API.CONSUMER.MSG.NEXT.{place}", request, reply=inbox)
                    batch, status = await _collect(queue, size, api.timeout)
                    if status not in ("", _NO_MESSAGES) or misses < 0:
                        raise away(ApiError(503, 0, f"a read of {stream} was broken off: {status}"))
                    if batch:
                        left -= len(batch)
                        size = batch_after(batch)
                        yield batch
                    elif not await _pending(api, f"INFO.{place}"):
                        return
                    else:
                        misses -= 1
            finally:
                await client.untap(tap)
        finally:
            await _remove(client, place, making)
    except (TimeoutError, OSError, nats_errors.Error) as error:
        raise away(error) from error


async def _remove(client: Client, place: str, making: asyncio.Task[int]) -> None:
    """Take the consumer back, also where this is cancelled meanwhile: whoever it was read for may leave at its end."""
    cancelled = False
    # A server works on requests side by side: a removal may overtake the making that was sent before it.
    while not making.done():
        try:
            await asyncio.wait({making})
        except asyncio.CancelledError:
            cancelled = True
    if client.is_connected:
        # Nobody waits for the answer: a consumer that nobody asks ends by itself.
        await client.publish(f"$JS.API.CONSUMER.DELETE.{place}")
    if cancelled:
        raise asyncio.CancelledError


async def _pending(api: Api, request: str, body: dict[str, Any] | None = None) -> int:
    """What the consumer that is made or asked for still has."""
    try:
        return int((await api.call(f"CONSUMER.{request}", body))["num_pending"])
    except ApiError as error:
        raise SlipstreamError(
            Code.UPSTREAM_UNAVAILABLE, f"JetStream refused a read ({request}): {error}", retry_after=2.0
        ) from error


async def _collect(queue: asyncio.Queue[_Arrived], size: int, patience: float) -> tuple[list[Pulled], str]:
    """The answers to a request for `size` messages; the status that ended it early, "" when none did."""
    found: list[Pulled] = []
    while len(found) < size:
        async with asyncio.timeout(patience):
            subject, reply, payload, raw = await queue.get()
        headers = parse_headers(raw) if raw else {}
        delivered = parse_reply(reply)
        if delivered is None:
            return found, headers.get("Status", "none")
        found.append(Pulled(delivered.stream_seq, delivered.time_ms, subject, headers, payload))
    return found, ""
