"""What each NATS user of Slipstream may do: producers of one tenant, edges, and the controller. Pure.

Found by running everything on a server that enforces them and logs what it refuses (tests/contract/test_permissions.py,
which fails for a subject that is missing here as for one that nothing needs).

NATS judges whole tokens, so `SSE_*` or `slipstream_*` cannot be said: where JetStream's API has the stream's name in
its subject, `*` stands for every stream of the account. That is why `ACCOUNT` should hold nothing but Slipstream's.

Permissions judge the subject of a publish, not its reply subject, and JetStream answers to whatever that says. In one
account a producer of tenant a could publish to `sse.a.x` with the reply `sse.b.x` or `$KV.slipstream_tenants.b`, and
the acknowledgement would be stored as an event, or as the document, of tenant b (nats-server 2.15.1, measured). So each
tenant's producers have an account of their own (`account_of`), whose only door is the import of `imported`: an answer
comes back into that account and no further.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from slipstream.jetstream.subjects import (
    ALL_EDGES,
    LEASES_BUCKET,
    ONE_EDGE,
    PROBE,
    PROBE_STREAM,
    REVOCATIONS_BUCKET,
    TENANTS_BUCKET,
    TICKETS_BUCKET,
)

ACCOUNT: Final = "SLIPSTREAM"
"""The account with JetStream, of edges and controller."""

EXPORTED: Final = "sse.>"
"""What `ACCOUNT` exports as a service, for the tenants' accounts to import their part of."""

EDGE_BUCKETS: Final = (LEASES_BUCKET, TICKETS_BUCKET, REVOCATIONS_BUCKET)
"""KV buckets that edges make and write for one another."""

_INBOXES: Final = "_INBOX.>"
_READING: Final = ("CREATE", "INFO", "MSG.NEXT", "DELETE")


class Permissions(NamedTuple):
    """Subjects that a user may publish and subscribe to; what `deny_publish` names is taken out of `publish`."""

    publish: tuple[str, ...]
    subscribe: tuple[str, ...]
    deny_publish: tuple[str, ...] = ()


def account_of(tenant: str) -> str:
    """The account of a tenant's producers."""
    return f"TENANT_{tenant}"


def imported(tenant: str) -> str:
    """What a tenant's account imports of `EXPORTED`: the subjects of its events."""
    return f"sse.{tenant}.>"


def inbox_prefix(tenant: str) -> str:
    """Where a producer waits for acknowledgements, as the option `inbox_prefix` of its NATS client.

    Not below `_INBOX`, the default: that a user may hear `_INBOX.>` gives it nothing of these.
    """
    return f"_INBOX_{tenant}"


def producer(tenant: str) -> Permissions:
    """A producer of one tenant: publishes its events and hears its acknowledgements. It reads nothing."""
    return Permissions(publish=(imported(tenant),), subscribe=(f"{inbox_prefix(tenant)}.>",))


def edge() -> Permissions:
    """An edge: reads and publishes events of all tenants, reads their documents, and writes `EDGE_BUCKETS`.

    It makes no stream but those buckets and its probe's, and changes or removes none; the tenants' bucket is there once
    a tenant was applied. STREAM.INFO gives a stream's epoch and ends, STREAM.MSG.GET the leader's word on a position or
    a key, DIRECT.GET the history, consumers the live feed, whole buckets, and the last event of each topic.

    Against an edge that was broken into this is no fence: it may read and publish everything, and with a reply subject
    it can have JetStream write a stored event anywhere in the account, the tenants' documents included (measured).
    """
    return Permissions(
        publish=(
            "sse.*.>",
            "$JS.API.STREAM.INFO.*",
            "$JS.API.STREAM.MSG.GET.*",
            "$JS.API.DIRECT.GET.*",
            "$JS.API.CONSUMER.CREATE.*.*",
            "$JS.API.CONSUMER.INFO.*.*",
            "$JS.API.CONSUMER.MSG.NEXT.*.*",
            "$JS.API.CONSUMER.DELETE.*.*",
            *(f"$JS.API.STREAM.CREATE.KV_{bucket}" for bucket in EDGE_BUCKETS),
            *(f"$KV.{bucket}.>" for bucket in EDGE_BUCKETS),
            f"$JS.API.STREAM.CREATE.{PROBE_STREAM}",
            f"{PROBE}.*",
            f"{ONE_EDGE}.*.*",
            f"{ALL_EDGES}.*",
            _INBOXES,
        ),
        subscribe=(_INBOXES, f"{ONE_EDGE}.*.*", f"{ALL_EDGES}.*"),
    )


def controller() -> Permissions:
    """The controller, and `slipstream tenant ...`: makes, changes and removes streams and documents; asks for no event.

    It makes the buckets of tenants and revocations, and can change or remove none. A read of them is a question to the
    leader.
    """
    buckets = (TENANTS_BUCKET, REVOCATIONS_BUCKET)
    return Permissions(
        publish=(
            "$JS.API.STREAM.INFO.*",
            "$JS.API.STREAM.CREATE.*",
            "$JS.API.STREAM.UPDATE.*",
            "$JS.API.STREAM.DELETE.*",
            f"$KV.{TENANTS_BUCKET}.*",
            f"$KV.{REVOCATIONS_BUCKET}.*.*.*",
            *(f"$JS.API.STREAM.MSG.GET.KV_{bucket}" for bucket in buckets),
            *(f"$JS.API.CONSUMER.{verb}.KV_{bucket}.*" for bucket in buckets for verb in _READING),
        ),
        subscribe=(_INBOXES,),
        deny_publish=tuple(
            f"$JS.API.STREAM.{verb}.KV_{name}"
            for name in (TENANTS_BUCKET, *EDGE_BUCKETS)
            for verb in ("UPDATE", "DELETE")
        ),
    )
