"""`log.source.Source` on JetStream: the leader's state, Direct Get batches, and last-per-topic snapshots."""

from __future__ import annotations

import uuid
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any

from slipstream.jetstream import stream as streams
from slipstream.jetstream.api import NO_MESSAGE, Api, ApiError
from slipstream.jetstream.direct import Direct, Stored
from slipstream.jetstream.latest import Latest
from slipstream.jetstream.pull import pull
from slipstream.jetstream.subjects import stream_of
from slipstream.log.source import Batch, State
from slipstream.protocol.errors import Code, SlipstreamError
from slipstream.protocol.event import Record, make_record
from slipstream.protocol.timestamp import rfc3339
from slipstream.protocol.topic import Filters, subject, topic_of

_BATCH_BYTES = 256 * 1024
_LATEST_MS = (2**63 - 1) // 1_000_000
"""In the year 2262: the server counts nanoseconds in 64 bits, and takes a later time for one long ago (measured)."""


class JetStreamSource:
    """Reads the stream of one tenant.

    `event_bytes()` is what an event may weigh, asked for each, as a document may change it; larger ones are
    undeliverable.
    """

    def __init__(self, api: Api, direct: Direct, tenant: str, event_bytes: Callable[[], int]) -> None:
        self._api = api
        self._direct = direct
        self._tenant = tenant
        self.stream = stream_of(tenant)
        self._event_bytes = event_bytes
        self._latest = Latest(f"state-{tenant}", self._state)

    @property
    def event_bytes(self) -> int:
        """What an event may weigh now."""
        return self._event_bytes()

    async def state(self) -> State:
        """See `Source.state`. Shared by those who ask while an earlier question is under way."""
        return await self._latest.get()

    async def _state(self) -> State:
        return (await streams.find(self._api, self._tenant)).state

    async def read(self, pattern: str, after: int, limit: int) -> Batch:
        """See `Source.read`. Bounded by 256 KiB a batch, beside `limit`."""
        answer = await self._get(
            {
                "seq": after + 1,
                "next_by_subj": subject(self._tenant, pattern),
                "batch": limit,
                "max_bytes": max(_BATCH_BYTES, self.event_bytes),
            }
        )
        return Batch([self._record(stored) for stored in answer[0]], answer[1])

    async def count(self, pattern: str, after: int) -> int:
        """See `Source.count`."""
        messages, pending = await self._get(
            {"seq": after + 1, "next_by_subj": subject(self._tenant, pattern), "batch": 1}
        )
        return len(messages) + pending

    async def last_match(self, pattern: str) -> int:
        """See `Source.last_match`. STREAM.MSG.GET is answered by the leader alone, or by one that was it."""
        found = await self._leader({"last_by_subj": subject(self._tenant, pattern)})
        # Asked for afterwards: who leads then has led until then.
        await self.state()
        return 0 if found is None else int(found["seq"])

    async def first_since(self, time_ms: int) -> int | None:
        """See `Source.first_since`."""
        if time_ms > _LATEST_MS:
            return None
        messages, _ = await self._get({"start_time": rfc3339(max(0, time_ms)), "batch": 1})
        return messages[0].seq if messages else None

    async def time_of(self, seq: int) -> int | None:
        """See `Source.time_of`. By sequence alone: with a filter an event of another topic would be skipped."""
        found = await self._leader({"seq": seq})
        return None if found is None else streams.parse_time_ms(found["time"])

    async def snapshot(self, filters: Filters) -> AsyncGenerator[list[Record], None]:
        """See `Source.snapshot`. By an in-memory consumer: `multi_last` refuses more than some 1,000 topics."""
        config = {
            "name": f"last-{uuid.uuid4().hex}",
            "deliver_policy": "last_per_subject",
            "ack_policy": "none",
            "replay_policy": "instant",
            "mem_storage": True,
            "num_replicas": 1,
            "inactive_threshold": 30_000_000_000,
            "filter_subjects": [subject(self._tenant, text) for text in filters.texts],
        }
        async with aclosing(pull(self._api, self.stream, config)) as batches:
            async for batch in batches:
                yield [
                    make_record(seq, time_ms, topic_of(name), headers, payload, self.event_bytes)
                    for seq, time_ms, name, headers, payload in batch
                ]

    async def prepare(self, records: list[Record]) -> list[Record]:
        """See `Source.prepare`: they are what they are."""
        return records

    async def _get(self, body: dict[str, Any]) -> tuple[list[Stored], int]:
        try:
            answer = await self._direct.batch(self.stream, body)
        except ApiError as error:
            raise SlipstreamError(
                Code.UPSTREAM_UNAVAILABLE, f"JetStream cannot read {self.stream}: {error}", retry_after=2.0
            ) from error
        return answer.messages, answer.pending

    async def _leader(self, body: dict[str, Any]) -> dict[str, Any] | None:
        try:
            answer = await self._api.call(f"STREAM.MSG.GET.{self.stream}", body)
        except ApiError as error:
            if error.err_code == NO_MESSAGE:
                return None
            raise SlipstreamError(
                Code.UPSTREAM_UNAVAILABLE, f"JetStream cannot read {self.stream}: {error}", retry_after=2.0
            ) from error
        message: dict[str, Any] = answer["message"]
        return message

    def _record(self, stored: Stored) -> Record:
        time_ms = streams.parse_time_ms(stored.time) or 0
        return make_record(
            stored.seq, time_ms, topic_of(stored.subject), stored.headers, stored.payload, self.event_bytes
        )
