"""Pages of other origins on a real edge: what is shared, with whom, and that nothing is done for the others."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from slipstream.app import Running
from tests.integration.answers import EVENT_SOURCE, JSON, plain_status, problem, short_stream
from tests.integration.cluster import Cluster
from tests.integration.wire import Answer, Head, call, request, until
from tests.servers import NatsServer

LOOPS = ("uvloop",)

APP = "https://app.example.com"
RULES: dict[str, Any] = {"origins": [APP, "https://*.acme.example"], "max_age": 120}
EXPOSED = "Retry-After, Idempotency-Support, traceparent, X-Retry-Policy, X-Retry-Backoff-Base"
EVENT = b'{"topic":"orders","data":{"a":1}}'
STREAMS, POLLS = "/v1/events", "/v1/poll"
CALLS = (("GET", STREAMS, None), ("HEAD", STREAMS, None), ("GET", POLLS, None), ("POST", STREAMS, EVENT))

EVIL = (
    "https://evil.example",
    "null",
    "*",
    "",
    "https://evil-app.example.com",
    "https://app.example.com.evil",
    "https://app.example.com:443",
    "https://APP.example.com",
    "http://app.example.com",
    "https://app.example.com.",
    "https://me@app.example.com",
    "https://acme.example",
    "https://a.b.acme.example",
    "https://*.acme.example",
    "https://b\u00fccher.acme.example",
    "https://evil.example/.acme.example",
)


def origin(text: str) -> str:
    return f"Origin: {text}"


def shared(answer: Answer | Head, whom: str = APP, *, credentials: bool = True) -> None:
    headers = answer.headers
    assert headers["access-control-allow-origin"] == whom
    assert headers.get("access-control-allow-credentials") == ("true" if credentials else None)
    assert headers["access-control-expose-headers"] == EXPOSED
    assert headers["vary"] == "Accept-Encoding, Origin"


def unshared(answer: Answer) -> None:
    assert not [name for name in answer.headers if name.startswith("access-control-")]
    assert answer.headers["vary"] == "Accept-Encoding, Origin"


def forbidden(answer: Answer, method: str = "GET") -> None:
    unshared(answer)
    if method == "HEAD":
        assert answer.status == 403
    else:
        problem(answer, 403, "FORBIDDEN")
        assert "spec.cors.origins" in answer.json["fix"], "the token may be good"


async def preflight(port: int, target: str, whom: str, *headers: str, method: str = "GET") -> Answer:
    return await call(
        port, target, origin(whom), f"Access-Control-Request-Method: {method}", *headers, method="OPTIONS"
    )


@asynccontextmanager
async def edge_with(cluster: Cluster, rules: dict[str, Any], **settings: Any) -> AsyncIterator[Running]:
    """An edge that knows these rules of the tenant."""
    tenant = await cluster.apply(cors=rules)
    async with cluster.edge(**settings) as running:
        registry = running.services.registry
        await until(lambda: registry.get(cluster.tenant) == tenant, "the rules are known")
        yield running


@pytest.fixture
async def running(cluster: Cluster) -> AsyncIterator[Running]:
    async with edge_with(cluster, RULES) as one:
        yield one


async def test_an_allowed_origin_reads_and_publishes(cluster: Cluster, running: Running) -> None:
    port = running.server.port
    for whom in (APP, "https://shop.acme.example"):
        stream = await cluster.opened(port, "", origin(whom))
        shared(stream.head, whom)
        answer = await call(port, cluster.target(), JSON, origin(whom), method="POST", body=EVENT)
        assert answer.status == 200
        assert answer.headers["idempotency-support"] == "optional"
        shared(answer, whom)
        assert [event.data for event in await stream.take(1)] == ['{"a":1}']
        head = await call(port, cluster.target(), origin(whom), method="HEAD")
        assert head.status == 200
        shared(head, whom)
        poll = await call(port, cluster.target("since=earliest", POLLS), origin(whom))
        assert poll.json["events"]
        shared(poll, whom)
        # The tenant may be named by the header just as well.
        shared(await call(port, "/v1/poll?since=earliest", f"X-Tenant-ID: {cluster.tenant}", origin(whom)), whom)


async def test_refusals_can_be_read_too(cluster: Cluster, running: Running) -> None:
    port = running.server.port
    malformed = await call(port, cluster.target("topic=$"), origin(APP))
    problem(malformed, 400, "BAD_REQUEST")
    shared(malformed)
    publish = await call(port, cluster.target(), origin(APP), "Content-Type: text/plain", method="POST", body=b"x")
    problem(publish, 415, "BAD_REQUEST")
    shared(publish)
    wrong = await call(port, cluster.target(path="/nowhere"), origin(APP))
    problem(wrong, 404, "NOT_FOUND")
    shared(wrong)
    wrong = await call(port, cluster.target(), origin(APP), method="PUT")
    problem(wrong, 405, "BAD_REQUEST")
    shared(wrong)
    running.services.draining = True
    passing = await call(port, cluster.target(), EVENT_SOURCE, origin(APP))
    short_stream(passing, "DRAINING")
    shared(passing)
    answer = await call(port, cluster.target("", POLLS), origin(APP))
    plain_status(answer, "DRAINING")
    shared(answer)


@pytest.mark.parametrize("whom", EVIL)
async def test_another_origin_opens_nothing_and_stores_nothing(cluster: Cluster, running: Running, whom: str) -> None:
    services = running.services
    opened = services.hub._number
    for method, path, body in CALLS:
        for headers in ((), (EVENT_SOURCE,), ("Sec-Fetch-Site: cross-site",), ("Sec-Fetch-Site: same-site",)):
            answer = await call(
                running.server.port, cluster.target("", path), JSON, origin(whom), *headers, method=method, body=body
            )
            forbidden(answer, method)
    forbidden(await preflight(running.server.port, cluster.target(), whom, method="POST"))
    services.draining = True
    forbidden(await call(running.server.port, cluster.target("refusal=stream"), EVENT_SOURCE, origin(whom)))
    assert services.hub._number == opened
    assert not len(services.hub.reactor)
    assert services.refusals == {"SSE_FORBIDDEN": 18}
    assert (await cluster.put("orders", b"1")) == 1, "something was stored"


async def test_a_refused_origin_is_answered_before_the_body(cluster: Cluster, running: Running) -> None:
    wire = await cluster.wire(running.server.port)
    head = request(cluster.target(), JSON, origin("https://evil.example"), "Content-Length: 1000", method="POST")
    await wire.send(head)
    forbidden(await wire.answer())


async def test_two_origins_are_none(cluster: Cluster, running: Running) -> None:
    forbidden(await call(running.server.port, cluster.target(), origin(APP), origin(APP)))
    forbidden(await call(running.server.port, cluster.target(), origin(APP), origin("https://evil.example")))


async def test_without_an_origin_it_is_no_page(cluster: Cluster, running: Running) -> None:
    port = running.server.port
    for method, path, body in CALLS[1:]:
        answer = await call(port, cluster.target("", path), JSON, method=method, body=body)
        assert answer.status == 200
        unshared(answer)
    stream = await cluster.opened(port)
    assert "access-control-allow-origin" not in stream.head.headers
    assert stream.head.headers["vary"] == "Accept-Encoding, Origin"


async def test_a_page_of_our_own_origin_needs_no_rule(cluster: Cluster, running: Running) -> None:
    """Browsers send Origin with every POST, to their own origin, too."""
    own = (JSON, origin("https://events.example"), "Sec-Fetch-Site: same-origin")
    answer = await call(running.server.port, cluster.target(), *own, method="POST", body=EVENT)
    assert answer.status == 200
    unshared(answer)


async def test_a_tenant_without_credentials_says_so(cluster: Cluster) -> None:
    ours = f"https://{cluster.tenant}.example"  # no other test's tenant allows it
    async with edge_with(cluster, {"origins": [ours], "credentials": False}) as running:
        port = running.server.port
        shared((await cluster.opened(port, "", origin(ours))).head, ours, credentials=False)
        shared(await preflight(port, cluster.target(), ours), ours, credentials=False)
        shared(await preflight(port, STREAMS, ours), ours, credentials=False)


async def test_open_streams_stay_and_new_ones_follow_a_change(cluster: Cluster) -> None:
    old, new = (f"https://{name}.{cluster.tenant}.example" for name in ("old", "new"))
    async with edge_with(cluster, {"origins": [old]}, auth="jwt") as closed, cluster.edge() as running:
        stream = await cluster.opened(running.server.port, "", origin(old))
        shared(await preflight(closed.server.port, STREAMS, old), old)
        forbidden(await preflight(closed.server.port, STREAMS, new))
        tenant = await cluster.apply(cors={"origins": [new]})
        registries = [edge.services.registry for edge in (closed, running)]
        await until(lambda: all(one.get(cluster.tenant) == tenant for one in registries), "the change is known")
        forbidden(await call(running.server.port, cluster.target(), origin(old)))
        forbidden(await preflight(closed.server.port, STREAMS, old))
        shared(await preflight(closed.server.port, STREAMS, new), new)
        await cluster.put("orders", b"1")
        assert [event.data for event in await stream.take(1)] == ["1"]


async def test_a_preflight_says_what_may_come(cluster: Cluster, running: Running) -> None:
    port = running.server.port
    wanted = (
        "Authorization, content-type,Content-Encoding, Last-Event-ID, X-Tenant-ID, Idempotency-Key, "
        "Retry-Preferences, traceparent, ce-id, ce-specversion, X-Evil, ce-, ce-x_y, cookie, *"
    )
    granted = (
        "authorization, content-type, content-encoding, last-event-id, x-tenant-id, idempotency-key, "
        "retry-preferences, traceparent, ce-id, ce-specversion"
    )
    header = f"Access-Control-Request-Headers: {wanted}"
    for path, methods in ((STREAMS, "GET, HEAD, POST, OPTIONS"), (POLLS, "GET, OPTIONS")):
        answer = await preflight(port, cluster.target("", path), APP, header, method="POST")
        assert (answer.status, answer.body) == (204, b"")
        shared(answer)
        assert answer.headers["allow"] == answer.headers["access-control-allow-methods"] == methods
        assert answer.headers["access-control-allow-headers"] == granted
        assert answer.headers["access-control-max-age"] == "120"
    assert "access-control-allow-headers" not in (await preflight(port, cluster.target(), APP)).headers
    # Without the parameter: what any tenant allows, for as long as nobody said.
    unnamed = await preflight(port, STREAMS, APP, header)
    shared(unnamed)
    assert unnamed.headers["access-control-max-age"] == "600"
    no_page = await call(port, STREAMS, method="OPTIONS")
    assert (no_page.status, no_page.headers["allow"]) == (204, "GET, HEAD, POST, OPTIONS")
    unshared(no_page)


async def test_with_tokens_an_origin_is_judged_before_the_token(cluster: Cluster) -> None:
    async with edge_with(cluster, RULES, auth="jwt") as running:
        port = running.server.port
        for method, path, body in CALLS:
            answer = await call(port, cluster.target("", path), JSON, origin(APP), method=method, body=body)
            assert answer.status == 401
            shared(answer)
        refused = await call(port, cluster.target(), EVENT_SOURCE, origin("https://evil.example"))
        forbidden(refused)
        # Which tenants there are is nobody's business, nor which have rules.
        other = f"{cluster.tenant}-b"
        await cluster.make(other)
        await until(lambda: running.services.registry.get(other) is not None, "the other tenant is known")
        for target in (f"{STREAMS}?tenant=nobody", f"{STREAMS}?tenant={other}", STREAMS):
            answer = await call(port, target, EVENT_SOURCE, origin(APP))
            forbidden(answer)
            assert answer.json["detail"] == refused.json["detail"]
        shared(await preflight(port, STREAMS, APP))
        forbidden(await preflight(port, STREAMS, "https://evil.example"))
        forbidden(await preflight(port, f"{STREAMS}?tenant=nobody", APP))
        unshared(await call(port, f"{STREAMS}?tenant=-", origin(APP)))


async def test_without_tokens_and_rules_everybody_may_but_with_no_credentials(cluster: Cluster) -> None:
    async with cluster.edge() as running:
        port = running.server.port
        whom = "https://anybody.example"
        shared((await cluster.opened(port, "", origin(whom))).head, "*", credentials=False)
        for method, path, body in CALLS[1:]:
            answer = await call(port, cluster.target("", path), JSON, origin(whom), method=method, body=body)
            assert answer.status == 200
            shared(answer, "*", credentials=False)
        for target in (cluster.target(), STREAMS):
            answer = await preflight(port, target, whom, "Access-Control-Request-Headers: content-type")
            shared(answer, "*", credentials=False)
            assert answer.headers["access-control-allow-headers"] == "content-type"
        for target, status in ((f"{STREAMS}?tenant=nobody", 404), (STREAMS, 400), (f"{STREAMS}?tenant=-", 400)):
            answer = await call(port, target, origin(whom))
            assert answer.status == status
            shared(answer, "*", credentials=False)


async def test_before_the_tenants_are_known_a_page_is_told_to_come_back(tmp_path: Path) -> None:
    target = f"{STREAMS}?tenant=acme"
    async with Cluster.edge_of(NatsServer(tmp_path), auth="jwt") as running:
        port = running.server.port
        answer = await call(port, target, EVENT_SOURCE, origin(APP))
        short_stream(answer, "UPSTREAM_UNAVAILABLE")
        shared(answer)
        answer = await call(port, target, JSON, origin(APP), method="POST", body=EVENT)
        plain_status(answer, "UPSTREAM_UNAVAILABLE")
        shared(answer)
        for whom in ("null", "https://\u00fc.example", "https://a b"):
            answer = await call(port, target, EVENT_SOURCE, origin(whom))
            short_stream(answer, "UPSTREAM_UNAVAILABLE")
            unshared(answer)
