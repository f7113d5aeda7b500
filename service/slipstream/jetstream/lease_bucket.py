"""The bucket `slipstream_leases` and what stands in it: raw entries, by key.

`live.<process>`: a sign of life. `quota.<tenant>` and `quota.<tenant>.<hash>`: `{process: granted}`. `want.<key>`: the
process that needs what lies idle. Entries that nobody renews expire by their own TTL.
"""

from __future__ import annotations

import asyncio
import base64
import logging
from typing import Final, NamedTuple

import orjson

from slipstream.jetstream import stream as streams
from slipstream.jetstream.api import NO_MESSAGE, STREAM_NAME_IN_USE, Api, ApiError
from slipstream.jetstream.subjects import LEASES_BUCKET
from slipstream.protocol.errors import Code, SlipstreamError

_logger = logging.getLogger(__name__)

STREAM: Final = f"KV_{LEASES_BUCKET}"
PREFIX: Final = f"$KV.{LEASES_BUCKET}."
WRONG_LAST_SEQUENCE: Final = 10071
"""The server's number for a compare-and-set that another writer won."""

_WRITES: Final = 64


class Entry(NamedTuple):
    """A value and its revision: the sequence with which it was stored."""

    value: bytes
    revision: int


async def ensure(api: Api, replicas: int = 1) -> None:
    """Make the bucket where it does not exist; an existing one is left as it is."""
    config = {
        "name": STREAM,
        "description": "Slipstream: shares of quotas, and which processes live",
        "subjects": [f"{PREFIX}>"],
        "storage": "file",
        "max_msgs_per_subject": 1,
        "discard": "new",
        "allow_rollup_hdrs": True,
        "allow_direct": True,
        "allow_msg_ttl": True,
        "deny_delete": True,
        "num_replicas": replicas,
    }
    try:
        await api.call(f"STREAM.CREATE.{STREAM}", config)
    except ApiError as error:
        if error.err_code != STREAM_NAME_IN_USE:
            raise


class LeaseBucket:
    """Reads from the leader and writes, at most 64 writes at a time. Raises `ApiError`, or UPSTREAM_UNAVAILABLE."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._writes = asyncio.Semaphore(_WRITES)

    async def created(self) -> str:
        """When the bucket was made, by which one tells it from another; makes it where there is none."""
        try:
            return str((await streams.info(self._api, STREAM))["created"])
        except SlipstreamError as error:
            if error.code is not Code.NOT_FOUND:
                raise
        # Only now: an edge may have no permission to make anything, where somebody else has made it.
        await ensure(self._api)
        return str((await streams.info(self._api, STREAM))["created"])

    async def put(self, key: str, value: bytes, headers: dict[str, str]) -> int:
        """Write, by compare-and-set where `headers` say so; the revision."""
        async with self._writes:
            answer = orjson.loads(await self._api.request(PREFIX + key, value, headers))
        error = answer.get("error")
        if error is not None:
            raise ApiError(error.get("code", 500), error.get("err_code", 0), error.get("description", "unknown"))
        return int(answer["seq"])

    async def get(self, key: str) -> Entry | None:
        """What stands at `key` (also `>`: the newest of all), or None."""
        try:
            answer = await self._api.call(f"STREAM.MSG.GET.{STREAM}", {"last_by_subj": PREFIX + key})
        except ApiError as error:
            if error.err_code == NO_MESSAGE:
                return None
            raise
        message = answer["message"]
        return Entry(base64.b64decode(message.get("data", "")), int(message["seq"]))

    async def newest(self) -> int:
        """The revision of the newest entry; 0 where there is none."""
        entry = await self.get(">")
        return 0 if entry is None else entry.revision


def granted(key: str, data: bytes) -> dict[str, int]:
    """The document `{process: granted}`; what is none, or a removal, counts as empty."""
    try:
        return {str(process): max(0, int(count)) for process, count in orjson.loads(data or b"{}").items()}
    except (ValueError, TypeError, AttributeError) as error:
        _logger.warning("the shares of %s were overwritten by something else and begin again: %s", key, error)
        return {}
