"""A bounded read through an ephemeral pull consumer: what Direct Get cannot answer (NATS ADR-13)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any, NamedTuple

import orjson

from slipstream.jetstream.api import Api, ApiError, away
from slipstream.jetstream.client import parse_headers
from slipstream.jetstream.subjects import parse_reply

_BATCH = 256
_BATCH_BYTES = 256 * 1024


class Pulled(NamedTuple):
    """A message as a consumer delivers it; `time_ms` is its stored time."""

    seq: int
    time_ms: int
    subject: str
    headers: dict[str, str]
    payload: bytes


async def pull(api: Api, stream: str, config: dict[str, Any]) -> AsyncGenerator[list[Pulled], None]:
    """Make the consumer that `config` describes, yield what it has at this moment in bounded lists, remove it.

    The end is known from the leader's own count at creation, not from an empty answer.
    """
    name = config["name"]
    try:
        made = await api.call(
            f"CONSUMER.CREATE.{stream}.{name}", {"stream_name": stream, "config": config, "action": "create"}
        )
    except ApiError as error:
        raise away(error) from error
    left = int(made["num_pending"])
    client = api.link.client
    inbox = client.new_inbox()
    queue: asyncio.Queue[tuple[str, str, bytes, bytes]] = asyncio.Queue(maxsize=_BATCH + 8)
    tap = await client.tap(inbox, lambda *message: queue.put_nowait(message))
    try:
        while left > 0:
            batch = await _next(api, f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{name}", inbox, queue)
            left -= len(batch)
            if batch:
                yield batch
    finally:
        await client.untap(tap)
        await client.publish(f"$JS.API.CONSUMER.DELETE.{stream}.{name}")


async def _next(
    api: Api, subject: str, inbox: str, queue: asyncio.Queue[tuple[str, str, bytes, bytes]]
) -> list[Pulled]:
    body = {"batch": _BATCH, "max_bytes": _BATCH_BYTES, "no_wait": True}
    found: list[Pulled] = []
    try:
        await api.link.client.publish(subject, orjson.dumps(body), reply=inbox)
        while len(found) < _BATCH:
            name, reply, payload, raw = await asyncio.wait_for(queue.get(), api.timeout)
            headers = parse_headers(raw) if raw else {}
            delivered = parse_reply(reply)
            if delivered is None:
                # A status: no more now, or the bytes of this batch are used up.
                return found
            found.append(Pulled(delivered.stream_seq, delivered.time_ms, name, headers, payload))
    except ApiError:
        raise
    except Exception as error:
        raise away(error) from error
    return found
