"""A NATS KV bucket (ADR-8) of the edges' own: made where it is missing, read from the leader, written by comparing.

Raw entries, because the library's own ways of following a bucket lose what we must not lose.
"""

from __future__ import annotations

import asyncio
import base64
import uuid
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Final, NamedTuple

import orjson

from slipstream.jetstream import stream as streams
from slipstream.jetstream.api import NO_MESSAGE, STREAM_NAME_IN_USE, Api, ApiError
from slipstream.jetstream.client import parse_headers
from slipstream.jetstream.pull import pull
from slipstream.protocol.errors import Code, SlipstreamError

COPYING: Final = 10164
"""The server's number for a compare-and-set while another write to that key is being copied to its replicas."""

WRONG_LAST_SEQUENCE: Final = frozenset({10071, COPYING})
"""The server's numbers for a compare-and-set that another writer won."""

REPLICAS: Final = 3
"""Copies of a bucket where NATS is a cluster: with one, the death of one server would take it away from all."""

REMOVAL: Final = {"KV-Operation": "DEL"}
"""The header of an entry that removes what stood there; it has no value."""

_REMOVALS: Final = ("DEL", "PURGE")

_WRITES: Final = 64
_INACTIVE_NS: Final = 30_000_000_000


class Entry(NamedTuple):
    """A value and its revision: the sequence with which it was stored. removed: it stands for nothing."""

    value: bytes
    revision: int
    removed: bool


def removes(headers: Mapping[str, str]) -> bool:
    """Whether an entry with these headers is a removal, ours or another tool's."""
    return headers.get("KV-Operation") in _REMOVALS


class Kv:
    """One bucket. At most 64 writes at a time. Raises `ApiError` for a refusal, UPSTREAM_UNAVAILABLE for silence.

    max_bytes: what is over it is refused, nothing is forgotten for it; -1 is no limit.
    """

    def __init__(self, api: Api, bucket: str, description: str, max_bytes: int = -1) -> None:
        self._api = api
        self.bucket = bucket
        self.stream = f"KV_{bucket}"
        self.prefix = f"$KV.{bucket}."
        self._description = description
        self._max_bytes = max_bytes
        self._writes = asyncio.Semaphore(_WRITES)

    async def ensure(self) -> None:
        """Make the bucket where it does not exist; an existing one is left as it is."""
        config = {
            "name": self.stream,
            "description": self._description,
            "subjects": [f"{self.prefix}>"],
            "storage": "file",
            "max_msgs_per_subject": 1,
            "max_bytes": self._max_bytes,
            "discard": "new",
            "allow_rollup_hdrs": True,
            "allow_direct": True,
            "allow_msg_ttl": True,
            "deny_delete": True,
            "num_replicas": REPLICAS,
        }
        try:
            try:
                await self._api.call(f"STREAM.CREATE.{self.stream}", config)
            except ApiError as error:
                if error.err_code != streams.NO_CLUSTER:
                    raise
                await self._api.call(f"STREAM.CREATE.{self.stream}", config | {"num_replicas": 1})
        except ApiError as error:
            if error.err_code != STREAM_NAME_IN_USE:
                raise

    async def found(self) -> str:
        """When the bucket was made, by which one tells it from another. Raises NOT_FOUND where there is none."""
        return str((await streams.info(self._api, self.stream))["created"])

    async def created(self) -> str:
        """As `found`; makes it where there is none."""
        try:
            return await self.found()
        except SlipstreamError as error:
            if error.code is not Code.NOT_FOUND:
                raise
        # Only now: an edge may have no permission to make anything, where somebody else has made it.
        await self.ensure()
        return await self.found()

    async def put(self, key: str, value: bytes, headers: dict[str, str]) -> int:
        """Write, by compare-and-set where `headers` say so; the revision."""
        async with self._writes:
            answer = orjson.loads(await self._api.request(self.prefix + key, value, headers))
        error = answer.get("error")
        if error is not None:
            raise ApiError(error.get("code", 500), error.get("err_code", 0), error.get("description", "unknown"))
        return int(answer["seq"])

    async def create(self, key: str, value: bytes, ttl: int) -> bool:
        """Write where nothing stands, for `ttl` seconds; False where something does. Who asks first wins, everywhere.

        A removal counts as something until its own time is up.
        """
        return await self.replace(key, value, None, {"Nats-TTL": f"{ttl}s"})

    async def replace(self, key: str, value: bytes, before: Entry | None, headers: dict[str, str]) -> bool:
        """Write where `before` still stands, None for nothing; False where another writer was first."""
        expected = 0 if before is None else before.revision
        try:
            await self.put(key, value, {**headers, "Nats-Expected-Last-Subject-Sequence": str(expected)})
        except ApiError as error:
            if error.err_code not in WRONG_LAST_SEQUENCE:
                raise
            return False
        return True

    async def get(self, key: str) -> Entry | None:
        """What stands at `key` (also `>`: the newest of all), or None. A removal stands there as an empty value."""
        try:
            answer = await self._api.call(f"STREAM.MSG.GET.{self.stream}", {"last_by_subj": self.prefix + key})
        except ApiError as error:
            if error.err_code == NO_MESSAGE:
                return None
            raise
        message = answer["message"]
        removed = removes(parse_headers(base64.b64decode(message.get("hdrs", ""))))
        return Entry(base64.b64decode(message.get("data", "")), int(message["seq"]), removed)

    async def all(self, keys: str = ">") -> AsyncGenerator[tuple[str, bytes], None]:
        """The key and value of all that stands under `keys`, a key or pattern, at this moment.

        Read through a consumer of our own: the library's `keys` waits for its watcher for a fixed time and answers
        what has come by then, on a busy machine nothing (measured).
        """
        config = {
            "name": f"list-{uuid.uuid4().hex}",
            "filter_subject": self.prefix + keys,
            "deliver_policy": "last_per_subject",
            "ack_policy": "none",
            "mem_storage": True,
            "num_replicas": 1,
            "inactive_threshold": _INACTIVE_NS,
        }
        async with aclosing(pull(self._api, self.stream, config)) as batches:
            async for batch in batches:
                for entry in batch:
                    if not removes(entry.headers):
                        yield entry.subject.removeprefix(self.prefix), entry.payload

    async def newest(self) -> int:
        """The revision of the newest entry; 0 where there is none."""
        entry = await self.get(">")
        return 0 if entry is None else entry.revision
