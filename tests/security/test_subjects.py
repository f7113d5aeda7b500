"""Names that become subjects of NATS."""

import json
from typing import Any
from urllib.parse import quote

import pytest

from slipstream.app import Running
from tests.integration.answers import JSON, problem
from tests.integration.cluster import Cluster
from tests.integration.events import gap_of
from tests.integration.guarded import bearer, get, minted
from tests.integration.wire import call
from tests.security import producer
from tests.security.attacks import attack

pytestmark = pytest.mark.asyncio(loop_scope="module")
LOOPS = ("uvloop",)

SUBJECTS = (
    "$SYS.>",
    "$SYS.REQ.SERVER.PING",
    "$JS.API.>",
    "$JS.API.STREAM.PURGE.SSE_acme",
    "$KV.slipstream_tenants.acme",
    "$O.bucket.C.x",
    "a..b",
    ".a",
    "a.",
    ".",
    " ",
    "a b",
    "a\tb",
    "a.\u00a0",
    "a\r\nPUB x 1",
    "a\n",
    "caf\u00e9",
    "\uff0a",
    "a.*b",
    "a.>.b",
    ">>",
    "**",
    "a/b",
    "../a",
    "%2a",
)


@attack("reading *, >, a..b, .a, spaces, $SYS, $JS, _INBOX")
@pytest.mark.parametrize("topic", SUBJECTS, ids=ascii)
@pytest.mark.parametrize("path", ["/v1/events", "/v1/poll"])
async def test_no_filter_leaves_the_tenants_topics(cluster: Cluster, running: Running, path: str, topic: str) -> None:
    query = f"topic={quote(topic, safe='')}"
    problem(await call(running.server.port, cluster.target(query, path)), 400, "BAD_REQUEST")


@attack("reading *, >, a..b, .a, spaces, $SYS, $JS, _INBOX")
async def test_everything_is_everything_of_the_tenant(cluster: Cluster, running: Running) -> None:
    """`_INBOX` is a good token. It is one behind sse.<tenant>., so no inbox of anybody's."""
    streams = [await cluster.opened(running.server.port, f"topic={topic}") for topic in (">", "_INBOX.>", "*.x")]
    for subject in ("_INBOX.edge.1", "_INBOX.x", "other.x", "$KV2.x"):
        await cluster.api.link.client.publish(subject, b"evil")
    await cluster.put("_INBOX.x", b"own")
    for stream in streams:
        assert [event.data for event in await stream.published(1)] == ["own"]


@attack("publishing to *, >, a..b, .a, spaces, $SYS, $JS, _INBOX")
@pytest.mark.parametrize("topic", [*SUBJECTS, "*", ">", "a.*", "a.>"], ids=ascii)
async def test_no_publish_leaves_the_tenants_topics(cluster: Cluster, running: Running, topic: str) -> None:
    async def post(kind: str, body: Any) -> None:
        answer = await call(running.server.port, cluster.target(), kind, method="POST", body=json.dumps(body).encode())
        problem(answer, 400, "BAD_REQUEST")

    await post(JSON, {"topic": topic, "data": 1})
    event = {"specversion": "1.0", "id": "1", "source": "s", "type": "t", "subject": topic, "data": 1}
    await post("Content-Type: application/cloudevents+json", event)


@attack("publishing to *, >, a..b, .a, spaces, $SYS, $JS, _INBOX")
@pytest.mark.parametrize("topic", ["ev.*", "ev.>", "ev.a$b", "ev.\u00fc", "a.b.c.d.e.f.g.h.i", "ev." + "x" * 65])
async def test_what_nats_stores_under_a_wild_name_is_a_gap(cluster: Cluster, running: Running, topic: str) -> None:
    """NATS acknowledges a publish to `ev.*` (measured): the grammar is kept where it is read."""
    stream = await cluster.opened(running.server.port)
    await producer.publish(cluster.nats, f"sse.{cluster.tenant}.{topic}")
    assert gap_of(await stream.one("stream.gap"))["reason"] == "undeliverable"
    stream.wire.close()


@attack("publishing to *, >, a..b, .a, spaces, $SYS, $JS, _INBOX")
async def test_a_topic_named_inbox_is_nobodys_inbox(cluster: Cluster, running: Running) -> None:
    client = cluster.api.link.client
    heard = await client.subscribe("_INBOX.x")
    body = b'{"topic":"_INBOX.x","data":"for nobody"}'
    assert (await call(running.server.port, cluster.target(), JSON, method="POST", body=body)).status == 200
    await client.flush()
    assert heard.pending_msgs == 0
    await heard.unsubscribe()


TENANTS = (
    "*",
    ">",
    "acme.>",
    "*.a",
    "a.b",
    "$SYS",
    "_INBOX",
    "ACME",
    "-a",
    "a-",
    "a_b",
    "a" * 64,
    "../x",
    "a%00",
    "\uff41",
)


@attack("a tenant's name that is a subject")
@pytest.mark.parametrize("name", TENANTS, ids=ascii)
async def test_a_tenants_name_is_a_label(cluster: Cluster, running: Running, fenced: Running, name: str) -> None:
    for path in ("/v1/events", "/v1/poll"):
        by_parameter = await call(running.server.port, f"{path}?tenant={quote(name, safe='')}")
        problem(by_parameter, 400, "BAD_REQUEST")
        problem(await call(running.server.port, path, f"X-Tenant-ID: {name}"), 400, "BAD_REQUEST")
        problem(await get(fenced, "", bearer(minted(cluster, tenant=name)), path=path), 401, "UNAUTHORIZED")
    body = b'{"topic":"a","data":1}'
    target = f"/v1/events?tenant={quote(name, safe='')}"
    problem(await call(running.server.port, target, JSON, method="POST", body=body), 400, "BAD_REQUEST")


@attack("a tenant's name that is a subject")
async def test_the_tenant_is_the_tokens(cluster: Cluster, fenced: Running) -> None:
    """Neither the path nor a header makes another one of it."""
    text = minted(cluster)
    for query, header in (("tenant=other", ""), ("", "X-Tenant-ID: other"), ("tenant=", "X-Tenant-ID: other")):
        problem(await get(fenced, query, bearer(text), *([header] if header else [])), 403, "FORBIDDEN")
