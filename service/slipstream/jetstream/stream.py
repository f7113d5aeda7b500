"""A tenant's stream: made and updated from the tenant document, and what its leader says of it.

One stream per tenant, so that one sequence orders the tenant and its limits are its own. Whatever could make a hole in
the middle that no client can see (deletes, purges, TTL, roll-ups, per-subject limits) is off.
"""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from slipstream.jetstream.api import STREAM_NAME_IN_USE, STREAM_NOT_FOUND, UNAVAILABLE, Api, ApiError, NoJetStream
from slipstream.jetstream.subjects import stream_of
from slipstream.log.source import State
from slipstream.protocol.errors import Code, SlipstreamError

EPOCH_KEY = "slipstream.epoch"
CREATED_KEY = "slipstream.created"

_ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz"
_DEDUPLICATION_NS = 120 * 1_000_000_000
_MAX_CONSUMERS = 4096
_EPOCH = re.compile(r"[a-z0-9]{8}")
_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)")


class Shape(NamedTuple):
    """What a tenant document decides about its stream: seconds, bytes, copies."""

    max_age: float
    max_bytes: int
    replicas: int


NO_PEERS: Final = 10005
"""The server's number for: not enough nodes that are there could hold it. They may come."""

NO_CLUSTER: Final = 10074
"""The server's number for: more than one replica needs a cluster."""

_NO_STORAGE: Final = 10047
"""The server's number for: what max_bytes would reserve is more than the server, or the account, has left."""

_RESERVED: Final = (
    "NATS reserves max_bytes: the sum over all tenants must fit max_file_store of the server, and the account's limit."
    " Lower spec.retention.max_bytes, or raise those"
)

_HEARD_NS: Final = 3_000_000_000


class Found(NamedTuple):
    """A stream as the leader described it. `created` is the server's own text, compared but never computed with."""

    state: State
    created: str
    config: dict[str, Any]


def parse_time_ms(text: str) -> int | None:
    """An RFC 3339 time with up to nine fractional digits, in whole milliseconds (floor); None for Go's zero time."""
    match = _TIME.fullmatch(text)
    if match is None:
        message = f"not an RFC 3339 time: {text!r}"
        raise ValueError(message)
    if text.startswith("0001-"):
        return None
    seconds = datetime.fromisoformat(match[1] + ("+00:00" if match[3] == "Z" else match[3])).astimezone(UTC)
    return int(seconds.timestamp()) * 1000 + int((match[2] or "0").ljust(9, "0")) // 1_000_000


def derive_epoch(stream: str, created: str) -> str:
    """Eight characters `[a-z0-9]` for this incarnation of a stream.

    Derived from the server's creation time, so that all who find a recreated stream at once agree without asking.
    """
    number = int.from_bytes(hashlib.sha256(f"{stream}\0{created}".encode()).digest()[:8])
    letters = []
    for _ in range(8):
        number, digit = divmod(number, 36)
        letters.append(_ALPHABET[digit])
    return "".join(letters)


def epoch_of(info: dict[str, Any]) -> str:
    """The epoch of a stream from its STREAM.INFO.

    The recorded one holds as long as the creation time recorded beside it is the stream's own, or the stream is a
    mirror (which has another creation time and the sequences of its origin).
    """
    config = info["config"]
    metadata = config.get("metadata") or {}
    recorded = metadata.get(EPOCH_KEY, "")
    if _EPOCH.fullmatch(recorded) and (config.get("mirror") or metadata.get(CREATED_KEY) == info["created"]):
        return str(recorded)
    return derive_epoch(config["name"], info["created"])


def describe(info: dict[str, Any]) -> Found:
    """The parts of a STREAM.INFO answer that resume and feed decide by."""
    state = info["state"]
    last_seq = int(state["last_seq"])
    first_seq = int(state["first_seq"]) if state["messages"] else last_seq + 1
    last_time = parse_time_ms(state["last_ts"]) if last_seq else None
    return Found(State(epoch_of(info), first_seq, last_seq, last_time), info["created"], info["config"])


def desired(tenant: str, shape: Shape) -> dict[str, Any]:
    """The configuration of a tenant's stream, without metadata."""
    return {
        "name": stream_of(tenant),
        "description": f"Slipstream events of tenant {tenant}",
        "subjects": [f"sse.{tenant}.>"],
        "storage": "file",
        "retention": "limits",
        "discard": "old",
        "max_age": int(shape.max_age * 1_000_000_000),
        "max_bytes": shape.max_bytes,
        "max_msgs": -1,
        "max_msgs_per_subject": -1,
        "max_msg_size": -1,
        "max_consumers": _MAX_CONSUMERS,
        "num_replicas": shape.replicas,
        "duplicate_window": min(_DEDUPLICATION_NS, int(shape.max_age * 1_000_000_000)),
        "allow_direct": True,
        "deny_delete": True,
        "deny_purge": True,
    }


async def find(api: Api, tenant: str) -> Found:
    """Ask the leader. NOT_FOUND when the tenant has no stream, UPSTREAM_UNAVAILABLE when nobody who knows answers."""
    found = await info(api, stream_of(tenant))
    if not leads(found):
        raise SlipstreamError(
            Code.UPSTREAM_UNAVAILABLE,
            f"the leader of {stream_of(tenant)} that answers is cut off from the other replicas",
            retry_after=2.0,
        )
    return describe(found)


def leads(info: dict[str, Any]) -> bool:
    """Whether who answered STREAM.INFO is the only leader there can be.

    A leader that is cut off from the others goes on answering from what it has for 10 s and more, while they elect
    another after 4 s at the earliest (nats-server 2.15.1, measured): to believe it would be to tell a reader who comes
    from the other side that it is ahead of the log. So a majority must have spoken to it less than 3 s ago. A replica
    without a leader answers, too, after 7 s, and names none.
    """
    cluster = info.get("cluster") or {}
    replicas = cluster.get("replicas") or []
    # One that was never heard has 0 for the time, and is not current.
    heard = [one for one in replicas if one["active"] < _HEARD_NS and (one["active"] or one.get("current"))]
    return not replicas or (bool(cluster.get("leader")) and 2 * (len(heard) + 1) > len(replicas) + 1)


async def measure(api: Api, tenant: str) -> dict[str, object]:
    """What a tenant's stream holds, and the most that it may: numbers, bytes, seconds. Raises what `find` does."""
    found = await info(api, stream_of(tenant))
    state, config = found["state"], found["config"]
    return {
        "epoch": epoch_of(found),
        "events": state["messages"],
        "bytes": state["bytes"],
        "bytes_limit": config["max_bytes"],
        "seconds_limit": config["max_age"] // 1_000_000_000,
        "first_seq": state["first_seq"],
        "last_seq": state["last_seq"],
        "replicas": config["num_replicas"],
    }


async def info(api: Api, stream: str) -> dict[str, Any]:
    """STREAM.INFO of `stream`, with its refusals as catalogue errors."""
    try:
        return await api.call(f"STREAM.INFO.{stream}")
    except NoJetStream as error:
        raise error.told() from error
    except ApiError as error:
        if error.err_code == STREAM_NOT_FOUND:
            raise SlipstreamError(
                Code.NOT_FOUND, f"the stream {stream} does not exist: apply the tenant again to make it"
            ) from error
        raise SlipstreamError(
            Code.UPSTREAM_UNAVAILABLE, f"JetStream does not answer for {stream}: {error}", retry_after=2.0
        ) from error


async def ensure(api: Api, tenant: str, shape: Shape) -> Found:
    """Make the stream of `tenant` as `shape` says, or change it, and record its epoch. Idempotent, safe to race."""
    wanted = desired(tenant, shape)
    stream = wanted["name"]
    try:
        answer = await api.call(f"STREAM.CREATE.{stream}", wanted)
    except ApiError as error:
        if error.err_code != STREAM_NAME_IN_USE:
            raise _refused(stream, error) from error
        answer = await info(api, stream)
    config = answer["config"]
    metadata = {**(config.get("metadata") or {}), EPOCH_KEY: epoch_of(answer), CREATED_KEY: answer["created"]}
    ours = {key: value for key, value in metadata.items() if not key.startswith("_nats.")}
    changed = {key: value for key, value in wanted.items() if config.get(key) != value}
    if changed or (config.get("metadata") or {}) != metadata:
        try:
            answer = await api.call(f"STREAM.UPDATE.{stream}", {**config, **wanted, "metadata": ours})
        except ApiError as error:
            raise _refused(stream, error) from error
    return describe(answer)


async def remove(api: Api, tenant: str) -> bool:
    """Delete the tenant's stream and its history; False when there was none."""
    try:
        await api.call(f"STREAM.DELETE.{stream_of(tenant)}")
    except ApiError as error:
        if error.err_code == STREAM_NOT_FOUND:
            return False
        raise _refused(stream_of(tenant), error) from error
    return True


def _refused(stream: str, error: ApiError) -> SlipstreamError:
    if isinstance(error, NoJetStream):
        return error.told()
    if error.err_code == NO_PEERS or error.code == UNAVAILABLE:
        text = f"JetStream cannot place {stream} now: {error}"
        if error.err_code == NO_PEERS:
            # The same number for too few servers and, in other words, for too little room on them (2.15.1, measured).
            few = "spec.replicas needs as many NATS servers that are up"
            text += f". {_RESERVED if 'storage' in error.description else few}"
        return SlipstreamError(Code.UPSTREAM_UNAVAILABLE, text, retry_after=5.0)
    text = f"JetStream refused {stream}: {error}"
    if error.err_code == NO_CLUSTER:
        text += ". spec.replicas above 1 needs as many NATS servers in a cluster: on one server leave it out"
    elif error.err_code == _NO_STORAGE:
        text += f". {_RESERVED}"
    return SlipstreamError(Code.UPSTREAM_UNAVAILABLE, text)
