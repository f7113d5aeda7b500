"""Faults around who may come in: more than the quota at once, and an issuer whose keys cannot be had."""

import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from tests.faults.cluster import COPIES, EDGE
from tests.faults.fault import fault
from tests.faults.load import TENANTS
from tests.faults.world import Violation, World
from tests.process import wait_until
from tests.servers import HOST, Edge, apply_tenant
from tests.tokens import ISSUER, JwksServer, claims, ec_key, token

LIMIT: Final = 30
CROWD: Final = 40
"""Connections at each edge at once."""
ANSWER_SECONDS: Final = 12.0
KNOWN_SECONDS: Final = 20.0
COOLDOWN_SECONDS: Final = 25.0
"""A key that was searched in vain is searched again after 10 s."""


async def _ask(port: int, tenant: str, *headers: str) -> tuple[int, asyncio.StreamWriter]:
    """Open a stream; its status, and the connection, which stays open."""
    async with asyncio.timeout(ANSWER_SECONDS):
        reader, writer = await asyncio.open_connection(HOST, port)
        lines = [f"GET /v1/events HTTP/1.1\r\nHost: {HOST}\r\nX-Tenant-ID: {tenant}\r\n"]
        lines += [f"{header}\r\n" for header in headers]
        writer.write(("".join(lines) + "\r\n").encode())
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except BaseException:
            writer.close()
            raise
    return int(head.split(b" ", 2)[1]), writer


async def _status(port: int, tenant: str, *headers: str) -> int:
    status, writer = await _ask(port, tenant, *headers)
    writer.close()
    return status


@fault(
    "quota-race",
    does=f"{CROWD} readers at each edge at once, where the tenant may have {LIMIT} in all",
    undone="all leave",
    checks=f"never more than {LIMIT} come in, the others are 429 or 503, and the places come back",
    seconds=6,
    touches="edges nodes",
)
async def quota_race(world: World, dice: random.Random) -> str:
    cluster, tenant = world.cluster, world.fresh("quota")
    spec = {"replicas": COPIES, "retention": {"max_bytes": "1MiB"}, "quotas": {"connections": LIMIT}}
    await apply_tenant(cluster.folder, tenant, spec, nats_url=",".join(cluster.urls))
    ports = [edge.port for edge in cluster.edges]

    async def everywhere(wanted: Sequence[int]) -> bool:
        return all([await _status(port, tenant) in wanted for port in ports])

    await wait_until(lambda: everywhere((200,)), seconds=KNOWN_SECONDS, what=f"all edges know {tenant}")
    crowd = [port for port in ports for _ in range(CROWD)]
    dice.shuffle(crowd)
    answers = await asyncio.gather(*(_ask(port, tenant) for port in crowd))
    counts = Counter(status for status, _ in answers)
    for _, writer in answers:
        writer.close()
    if counts[200] > LIMIT or set(counts) - {200, 429, 503}:
        raise Violation(f"{tenant}: a quota of {LIMIT}, and {dict(counts)}")
    try:
        await wait_until(lambda: everywhere((200,)), seconds=KNOWN_SECONDS, what="the places come back")
    except TimeoutError as error:
        raise Violation(f"{tenant}: {error}") from error
    return f"{counts[200]} of {len(crowd)} came in"


def _issuers(path: Path, keys: JwksServer) -> str:
    path.write_text(json.dumps({"issuers": [{"issuer": ISSUER, "jwks_url": keys.url}]}))
    return str(path)


@asynccontextmanager
async def _guarded(world: World, keys: JwksServer) -> AsyncIterator[Edge]:
    """An edge of its own that wants tokens of this server's keys."""
    folder, name = world.cluster.folder, world.fresh("guarded")
    env = EDGE | {"SLIPSTREAM_AUTH": "jwt", "SLIPSTREAM_ISSUERS": _issuers(folder / f"{name}.json", keys)}
    async with Edge(",".join(world.cluster.urls), folder, name=name, env=env) as edge:
        yield edge


@fault(
    "jwks-down",
    does="the issuer's keys cannot be had: it answers 500, then nothing at all",
    undone="it answers again, with a new key besides",
    checks="tokens of the known key work all the time; of the new one are 401 or 503 soon, and work afterwards",
    seconds=25,
    touches="jwks",
)
async def jwks_down(world: World, dice: random.Random) -> str:
    tenant, known, new = dice.choice(TENANTS), ec_key(0), ec_key(1)
    old_token, new_token = (f"Authorization: Bearer {token(key, claims(tenant=tenant))}" for key in (known, new))
    async with JwksServer.serving(known) as keys, _guarded(world, keys) as edge:
        if (status := await _status(edge.port, tenant, old_token)) != 200:
            raise Violation(f"a good token is {status}")
        keys.status = 500
        first = await _unknown_is_refused(edge, tenant, old_token, new_token)
        keys.silent = True
        second = await _unknown_is_refused(edge, tenant, old_token, new_token)
        keys.status, keys.silent, keys.keys = 200, False, [known, new]

        async def both() -> bool:
            return [await _status(edge.port, tenant, one) for one in (old_token, new_token)] == [200, 200]

        began = time.monotonic()
        try:
            await wait_until(both, seconds=COOLDOWN_SECONDS, what="the new key is known")
        except TimeoutError as error:
            raise Violation(str(error)) from error
        return f"unknown key is {first}, and {second}; known {time.monotonic() - began:.1f} s later"


async def _unknown_is_refused(edge: Edge, tenant: str, known: str, unknown: str) -> str:
    """Raises Violation when a token of an unknown key is let in, or one of a known key is not."""
    began = time.monotonic()
    status = await _status(edge.port, tenant, unknown)
    took = time.monotonic() - began
    if status not in (401, 503):
        raise Violation(f"a token of an unknown key is {status} while the keys cannot be had")
    if (good := await _status(edge.port, tenant, known)) != 200:
        raise Violation(f"a token of a known key is {good} while the keys cannot be had")
    return f"{status} after {took:.1f} s"
