"""Names on the NATS side: streams, subjects, consumers. Pure."""

from __future__ import annotations

from typing import NamedTuple

TENANTS_BUCKET = "slipstream_tenants"
LEASES_BUCKET = "slipstream_leases"
REVOCATIONS_BUCKET = "slipstream_revocations"
TICKETS_BUCKET = "slipstream_tickets"

ONE_EDGE = "slipstream.edge"
"""Before the name of a process and what it is asked: see `peers`."""

ALL_EDGES = "slipstream.edges"
"""Before what all edges are asked."""


PROBE_STREAM = "slipstream_probe"
PROBE = "slipstream.probe"
"""Before the name of a process, which writes there to see whether NATS stores: see `prober`."""


def stream_of(tenant: str) -> str:
    """The stream that holds a tenant's events. DNS labels have no dots, so the name is legal as it stands."""
    return f"SSE_{tenant}"


class Delivered(NamedTuple):
    """What the reply subject of a delivered message says: sequences, and the stored time in milliseconds."""

    stream_seq: int
    consumer_seq: int
    time_ms: int


_V1_TOKENS = 9
_V2_TOKENS = 11


def parse_reply(reply: str) -> Delivered | None:
    """Read `$JS.ACK.…` in both forms (9 tokens, or 11 and more with domain and account); None for anything else."""
    tokens = reply.split(".")
    if len(tokens) == _V1_TOKENS:
        offset = 5
    elif len(tokens) >= _V2_TOKENS:
        offset = 7
    else:
        return None
    if tokens[1] != "ACK":
        return None
    try:
        return Delivered(int(tokens[offset]), int(tokens[offset + 1]), int(tokens[offset + 2]) // 1_000_000)
    except ValueError:
        return None
