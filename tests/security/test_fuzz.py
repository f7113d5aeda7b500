"""Hundreds of requests that somebody mangled, against whole edges: every answer is one of the contract."""

import asyncio
import contextlib
import gzip
import json
import random
import re

import pytest

from slipstream.app import Running
from tests.integration.answers import JSON
from tests.integration.cluster import Cluster
from tests.integration.guarded import bearer, minted
from tests.integration.wire import Wire, call, request, until
from tests.security.attacks import attack

pytestmark = pytest.mark.asyncio(loop_scope="module")
LOOPS = ("uvloop",)

ROUNDS, ABREAST = 400, 40
QUIET = 0.15
EVENT = b'{"topic":"fuzz.a","event":"e","data":{"a":[1,"\\u00e9",null]},"id":"i","key":"k"}'
CLOUDEVENT = {"specversion": "1.0", "id": "1", "source": "s", "type": "t", "subject": "fuzz.ce", "data": {"a": 1}}
CE_HEADERS = ("ce-specversion: 1.0", "ce-id: 1", "ce-source: s", "ce-type: t", "ce-subject: fuzz.ce")
NASTY = (
    b"\0", b"\r\n", b"\n", b"\r", b"\xff", b"\xc3", b"\xed\xa0\x80", b"%00", b"%0d%0a", b"%ff", b"%", b"&", b"=",
    b"&topic=", b"\r\nTransfer-Encoding: chunked", b"\r\nContent-Length: 7",
    b"\r\nHost: y", b"\r\nExpect: 100-continue",
    b"\r\nConnection: upgrade\r\nUpgrade: websocket", b"\r\nCookie: __Host-slipstream=x", b"\r\nOrigin: null",
    b"\r\nLast-Event-ID: abcdefgh-1", b"\r\nRetry-Preferences: base=1ms", b"\r\nAccept: text/event-stream",
    b"\r\nX-Forwarded-For: 1.2.3.4, x", b"\r\nRange: bytes=0-", b"\r\nIf-None-Match: *", b"99999999999999999999", b"-1",
    b"a" * 5000, b"\r\nX: " + b"y" * 9000, b"[" * 2000, b"'", b'"', b"\\", b"<", b";charset=\xff", b"HTTP/9.9",
    b"\t", b" ",
)  # fmt: skip


ADMIN_PORT = [request(path) for path in ("/livez", "/readyz", "/statusz", "/metrics")]
"""What an operator asks."""


def seeds(tenant: str, token: str, admin: str, process: str) -> list[bytes]:
    """Requests that are right. admin: the token of an administrator."""
    events, poll, auth = f"/v1/events?tenant={tenant}", f"/v1/poll?tenant={tenant}", bearer(token)
    root = bearer(admin)
    ndjson, ce = "Content-Type: application/x-ndjson", "Content-Type: application/cloudevents+json"
    batch, gz = "Content-Type: application/cloudevents-batch+json", "Content-Encoding: gzip"
    chunked = b"%x\r\n%b\r\n0\r\n\r\n" % (len(EVENT), EVENT)
    return [
        request(f"{events}&topic=fuzz.>&since=earliest", auth, "Accept: text/event-stream", "Accept-Encoding: gzip"),
        request(f"{events}&topic=a&topic=b.*&heartbeat=event&envelope=cloudevents&refusal=status", auth),
        request(
            events, auth, "Last-Event-ID: abcdefgh-7-abc.key", "traceparent: 00-" + "a" * 32 + "-" + "b" * 16 + "-01"
        ),
        request(events, f"Cookie: a=b; __Host-slipstream={token}", "Sec-Fetch-Site: same-origin"),
        request(f"{events}&access_token={token}", "Origin: https://app.example.com"),
        request(f"{poll}&since=2026-01-01T00:00:00Z&limit=5&wait=0", auth),
        request(f"{poll}&last_event_id=abcdefgh-1&topic=fuzz.a", auth, "X-Tenant-ID: " + tenant),
        request(events, auth, method="HEAD"),
        request(events, "Origin: https://x.example", "Access-Control-Request-Method: POST", method="OPTIONS"),
        request(events, auth, JSON, "Idempotency-Key: i", method="POST", body=EVENT),
        request(events, auth, JSON, method="POST", body=b"[" + EVENT + b"," + EVENT + b"]"),
        request(events, auth, ndjson, method="POST", body=EVENT + b"\n" + EVENT + b"\n"),
        request(events, auth, ndjson, gz, method="POST", body=gzip.compress(EVENT)),
        request(events, auth, ce, method="POST", body=json.dumps(CLOUDEVENT).encode()),
        request(events, auth, batch, method="POST", body=json.dumps([CLOUDEVENT]).encode()),
        request(events, auth, *CE_HEADERS, "Content-Type: text/plain", method="POST", body=b"data"),
        request(events, auth, JSON, "Transfer-Encoding: chunked", method="POST") + chunked,
        request("/v1/streams?subject=ada&limit=10", root),
        request(f"/v1/streams/{process}.1", root, method="DELETE"),
        request("/v1/streams/deadbeef.99999999999999999999", root, method="DELETE"),
        request(f"/v1/streams/{process}.1/token", auth, method="POST", body=b""),
        request("/v1/streams/deadbeef.12345/token", auth, method="POST", body=b""),
        request("/v1/tickets", auth, JSON, method="POST", body=b'{"topics":["a"]}'),
        request("/v1/revocations", root, JSON, method="POST", body=b'{"token_id":"x","reason":"r"}'),
        request("/v1/revocations", root, JSON, method="POST", body=b'{"subject":"nobody"}'),
        request("/v1/revocations", root),
        request("/v1/revocations/subject/nobody", root, method="DELETE"),
        request("/v1/usage", root),
        request("/statusz"),
        request(f"{events}&ticket=abc", "Accept: text/event-stream"),
    ]


def mangled(chance: random.Random, one: bytes, other: bytes) -> bytes:
    """A request with some things done to it."""
    found = bytearray(one)
    for _ in range(chance.randint(0, 4)):
        at, end = sorted((chance.randrange(len(found) + 1), chance.randrange(len(found) + 1)))
        end = min(end, at + chance.choice((1, 4, 40)))
        match chance.randrange(8):
            case 0:
                del found[at:end]
            case 1:
                found[at:at] = found[at:end] * chance.randint(1, 3)
            case 2 | 3:
                found[at:at] = chance.choice(NASTY)
            case 4:
                found[at:end] = chance.randbytes(end - at)
            case 5:
                found[at:at] = other[: chance.randrange(len(other))]
            case 6:
                lines = bytes(found).split(b"\r\n")
                chance.shuffle(lines)
                found = bytearray(b"\r\n".join(lines))
            case _:
                found[at:] = b""
        if not found:
            found = bytearray(b"\r\n")
    return bytes(found)


async def told(port: int, data: bytes) -> bytes:
    """What comes back at once."""
    wire = await Wire.open(port)
    try:
        with contextlib.suppress(ConnectionError, TimeoutError):
            await wire.send(data)
            while True:
                async with asyncio.timeout(QUIET):
                    if not await wire.more():
                        break
        return bytes(wire.buffer)
    finally:
        wire.close()


@attack("any bytes at all")
@pytest.mark.parametrize("which", ["running", "fenced", "admin-port"])
async def test_whatever_comes_is_answered_by_the_contract(
    cluster: Cluster, running: Running, fenced: Running, which: str, pytestconfig: pytest.Config
) -> None:
    seed = f"{pytestconfig.getoption('--hypothesis-seed')}-{which}"
    edge, chance = (running if which == "running" else fenced), random.Random(seed)
    right, port = ADMIN_PORT, edge.server.admin_port
    if which != "admin-port":
        admin = minted(cluster, sub="root", scope="admin")
        right, port = seeds(cluster.tenant, minted(cluster), admin, edge.services.process), edge.server.port
    sent = [mangled(chance, chance.choice(right), chance.choice(right)) for _ in range(ROUNDS)]
    statuses: dict[int, int] = {}
    for begin in range(0, ROUNDS, ABREAST):
        batch = sent[begin : begin + ABREAST]
        for data, answer in zip(batch, await asyncio.gather(*(told(port, data) for data in batch)), strict=True):
            for found in re.findall(rb"HTTP/[0-9.]+ (\d{3}) ", answer):
                status = int(found)
                statuses[status] = statuses.get(status, 0) + 1
                assert status < 500 or (status == 503 and b"SSE_" in answer), (seed, data, answer)
            assert b"Traceback" not in answer, (seed, data, answer)
    print(f"seed {seed}: {sorted(statuses.items())}")  # noqa: T201 - shown where it fails
    assert {200, 400} <= statuses.keys(), "too much, or too little, was mangled"
    await until(lambda: not len(edge.services.hub.reactor), "all streams have ended")
    assert not len(edge.services.sessions)
    assert (await call(edge.server.admin_port, "/livez")).status == 200
    good = await call(edge.server.port, cluster.target("", "/v1/poll"), bearer(minted(cluster)))
    assert good.status == 200, good
