"""Tickets over two edges: made on one, spent once on any, and the cookie that a browser comes back with."""

import itertools
import json
import logging
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from slipstream.app import Running
from slipstream.auth.ticket import LIFE, day_of, seal
from slipstream.demo import earthquakes
from tests.contract.pod import freeze
from tests.integration.answers import EVENT_SOURCE, JSON, problem, short_stream
from tests.integration.cluster import Cluster, text_of
from tests.integration.guarded import PATH, applied, bearer, get, guarded, minted, opened
from tests.integration.wire import Answer, Head, call, until
from tests.tokens import JwksServer

LOOPS = ("uvloop",)

TICKETS, POLLS = "/v1/tickets", "/v1/poll"
QUAKES = list(itertools.islice(earthquakes(), 8))
SAME, CROSS = "Sec-Fetch-Site: same-origin", "Sec-Fetch-Site: cross-site"
APP = "https://app.example.com"


@pytest.fixture
async def edges(cluster: Cluster, keys: JwksServer, tmp_path: Path) -> AsyncIterator[tuple[Running, Running]]:
    async with AsyncExitStack() as stack:
        one, other = [await stack.enter_async_context(guarded(cluster, keys, tmp_path)) for _ in range(2)]
        yield one, other


async def asked(running: Running, *headers: str, query: str = "") -> Answer:
    return await call(running.server.port, f"{TICKETS}?{query}", *headers, method="POST", body=b"")


async def ticket(running: Running, text: str) -> str:
    """A query with a new ticket for this token."""
    answer = await asked(running, bearer(text))
    assert answer.status == 200, answer
    return f"ticket={answer.json['ticket']}"


def cookie(answer: Answer | Head) -> tuple[str, set[str]]:
    """The token of the cookie that was set, and its attributes but for Max-Age."""
    value, *attributes = answer.headers["set-cookie"].split("; ")
    name, _, text = value.partition("=")
    assert name == "__Host-slipstream"
    (age,) = [one for one in attributes if one.startswith("Max-Age=")]
    assert 3_500 < int(age.removeprefix("Max-Age=")) <= 3_600
    return text, set(attributes) - {age}


STRICT = {"Path=/", "HttpOnly", "Secure", "SameSite=Strict"}
FOREIGN = {"Path=/", "HttpOnly", "Secure", "SameSite=None", "Partitioned"}


class Watched:
    """A store of tickets that counts what it is asked."""

    def __init__(self, running: Running) -> None:
        self._store = running.services.tickets
        self.asked: list[str] = []
        running.services.tickets = self

    async def key(self, day: int) -> bytes:
        self.asked.append("key")
        return await self._store.key(day)

    async def spend(self, ticket_id: str) -> bool:
        self.asked.append("spend")
        return await self._store.spend(ticket_id)


async def test_made_on_one_edge_spent_on_the_other_and_resumed_on_the_first(
    cluster: Cluster, edges: tuple[Running, Running]
) -> None:
    one, other = edges
    text = minted(cluster)
    answer = await asked(one, bearer(text))
    assert answer.status == 200
    assert answer.json.keys() == {"ticket", "expires_at", "parameter"}
    assert answer.json["parameter"] == "ticket"
    assert abs(answer.json["expires_at"] - time.time() - LIFE) < 5
    assert answer.headers["cache-control"] == "no-store"
    assert "set-cookie" not in answer.headers
    url = f"ticket={answer.json['ticket']}"

    stream, ready = await opened(cluster, other, url, SAME)
    assert ready["tenant"] == cluster.tenant
    assert cookie(stream.head) == (text, STRICT)
    assert stream.head.headers["referrer-policy"] == "no-referrer"
    await cluster.publish(one, QUAKES[:4])
    events = await stream.published(4)
    stream.wire.close()

    last = f"Last-Event-ID: {events[1].id}"
    for edge in edges:
        for path in (PATH, POLLS):
            refusal = await get(edge, url, SAME, last, EVENT_SOURCE, path=path)
            problem(refusal, 401, "UNAUTHORIZED")
            assert refusal.headers["www-authenticate"] == 'Bearer realm="slipstream", error="invalid_token"'
            assert "set-cookie" not in refusal.headers
    # The browser's own reconnect: the same URL, the cookie, the last id.
    kept = f"Cookie: __Host-slipstream={text}"
    again, _ = await opened(cluster, one, url, SAME, last, kept)
    assert "set-cookie" not in again.head.headers
    await cluster.publish(one, QUAKES[4:])
    assert [event.data for event in await again.published(6)] == [text_of(event) for event in QUAKES[2:]]
    problem(await get(one, url, CROSS, last, kept), 401, "UNAUTHORIZED")


async def test_a_poll_spends_it_too_and_has_the_cookie(cluster: Cluster, edges: tuple[Running, Running]) -> None:
    text = minted(cluster)
    url = await ticket(edges[0], text)
    page = await get(edges[1], url, SAME, path=POLLS)
    assert page.status == 200
    assert cookie(page) == (text, STRICT)
    problem(await get(edges[0], url, SAME), 401, "UNAUTHORIZED")


async def test_what_it_allows_is_what_its_token_allows_then(
    cluster: Cluster, edges: tuple[Running, Running], keys: JwksServer
) -> None:
    one, other = edges
    text = minted(cluster, topics={"subscribe": ["a"]})
    narrow = await get(one, f"{await ticket(other, text)}&topic=b", SAME)
    problem(narrow, 403, "FORBIDDEN")
    assert cookie(narrow) == (text, STRICT), "its ticket is gone"
    problem(await get(one, f"{await ticket(other, text)}&tenant=nobody", SAME), 403, "FORBIDDEN")
    _, ready = await opened(cluster, one, await ticket(other, text))
    assert ready["topics"] == ["a"]

    ends = int(time.time()) + 2
    short = await ticket(one, minted(cluster, iat=ends - 20, exp=ends))
    await until(lambda: time.time() > ends, "its token has ended")
    late = await get(other, short, SAME)
    problem(late, 401, "TOKEN_EXPIRED")
    assert "set-cookie" not in late.headers

    url = await ticket(one, text)
    await applied(cluster, other, issuers=[{"issuer": "https://another.example", "jwks_url": keys.url}])
    problem(await get(other, url, SAME), 401, "UNAUTHORIZED")


async def test_the_ticket_of_a_revoked_subject_lets_nobody_in(cluster: Cluster, edges: tuple[Running, Running]) -> None:
    one, other = edges
    url, boss = await ticket(one, minted(cluster, sub="eve")), minted(cluster, scope="admin")
    body = b'{"subject":"eve"}'
    told = await call(one.server.port, "/v1/revocations", bearer(boss), JSON, method="POST", body=body)
    assert told.status < 300, told
    await until(lambda: bool(other.services.revocations.count(cluster.tenant)), "the other edge knows it")
    problem(await get(other, url, SAME), 401, "UNAUTHORIZED")
    problem(await asked(other, bearer(minted(cluster, sub="eve"))), 401, "UNAUTHORIZED")


async def test_every_refusal_of_a_request_that_spent_it_has_the_cookie(
    cluster: Cluster, edges: tuple[Running, Running]
) -> None:
    one, other = edges
    text = minted(cluster)

    async def refused(code: str, status: int, query: str = "", path: str = PATH) -> None:
        as_stream = await get(one, f"{await ticket(other, text)}&{query}", SAME, EVENT_SOURCE, path=path)
        assert cookie(as_stream) == (text, STRICT)
        if status in (429, 503) and path == PATH:
            short_stream(as_stream, code)
        plain = await get(one, f"{await ticket(other, text)}&{query}", SAME, path=path)
        problem(plain, status, code)
        assert cookie(plain) == (text, STRICT)
        assert plain.headers["referrer-policy"] == "no-referrer"

    await refused("BAD_REQUEST", 400, "topic=a..b")
    await refused("BAD_REQUEST", 400, "limit=0", POLLS)
    await applied(cluster, one, quotas={"connections": 1})
    _held = await opened(cluster, one, "", bearer(text))
    await refused("QUOTA_EXCEEDED", 429)


async def test_a_process_that_takes_nobody_spends_none(cluster: Cluster, edges: tuple[Running, Running]) -> None:
    """Where no cookie counts, a page would have to get another ticket for nothing."""
    one, other = edges
    url = await ticket(other, minted(cluster))
    one.services.draining = True
    for path in (PATH, POLLS):
        answer = await get(one, url, path=path)
        problem(answer, 503, "DRAINING")
        assert "set-cookie" not in answer.headers
    assert (await get(other, url, path=POLLS)).status == 200


async def test_only_a_read_spends_it_and_what_the_caller_says_aloud_goes_first(
    cluster: Cluster, edges: tuple[Running, Running]
) -> None:
    one, other = edges
    text, mine = minted(cluster), minted(cluster, sub="bob")
    url = await ticket(one, text)
    watched = Watched(other)
    port = other.server.port
    head = await call(port, f"{PATH}?{url}", SAME, method="HEAD")
    assert head.status == 401
    event = b'{"topic":"a","data":1}'
    problem(await call(port, f"{PATH}?{url}", SAME, JSON, method="POST", body=event), 401, "UNAUTHORIZED")
    problem(await asked(other, SAME, query=url), 401, "UNAUTHORIZED")
    for path in ("/v1/streams", "/v1/usage"):
        problem(await get(other, url, SAME, path=path), 401, "UNAUTHORIZED")
    assert (await get(other, url, bearer(mine), path=POLLS)).status == 200
    problem(await get(other, url, bearer("x")), 401, "UNAUTHORIZED")
    await applied(cluster, other, access_token_in_url=True)
    page = await get(other, f"{url}&access_token={mine}", path=POLLS)
    assert page.headers["referrer-policy"] == "no-referrer"
    problem(await get(other, f"{url}&{url}", SAME), 400, "BAD_REQUEST")
    assert watched.asked == []
    assert "referrer-policy" not in (await get(other, "", bearer(mine), path=POLLS)).headers

    # It goes before the cookie: a page that asks for a ticket wants to be who it asked as.
    page = await get(other, url, SAME, f"Cookie: __Host-slipstream={mine}", path=POLLS)
    assert cookie(page)[0] == text
    assert watched.asked == ["key", "spend"]


async def test_a_crowd_that_comes_back_asks_for_nothing_that_is_known(
    cluster: Cluster, edges: tuple[Running, Running]
) -> None:
    one, other = edges
    text = minted(cluster)
    kept, now = f"Cookie: __Host-slipstream={text}", time.time()
    key = await one.services.tickets.key(day_of(now))
    old = seal(key, bytes(16), text, int(now) + 3_600, now - LIFE - 2)
    watched = Watched(other)
    for given in (old, "A" * 200, old[:-1] + "A", "%00", "x y"):
        assert (await get(other, f"ticket={given.replace(' ', '+')}", SAME, kept, path=POLLS)).status == 200
        problem(await get(other, f"ticket={given.replace(' ', '+')}", SAME, path=POLLS), 401, "UNAUTHORIZED")
    assert watched.asked == [], "an old one, and what is none, asks nobody"

    young = await ticket(one, text)
    assert (await get(one, young, SAME, path=POLLS)).status == 200
    link = other.services.tickets._store._bucket._api.link  # type: ignore[attr-defined]
    sent: list[str] = []
    request = link.client.request

    async def noted(subject: str, *given: Any, **named: Any) -> Any:
        sent.append(subject)
        return await request(subject, *given, **named)

    link.client.request = noted
    for _ in range(5):
        assert (await get(other, young, SAME, kept, path=POLLS)).status == 200
    asked_for = [subject for subject in sent if "slipstream_tickets" in subject]
    # Its key, whether it is spent (no), by whom (another).
    assert [subject.split(".")[0] for subject in asked_for] == ["$JS", "$KV", "$JS"]


async def test_without_nats_nobody_is_let_in_and_everybody_may_come_back(
    cluster: Cluster, edges: tuple[Running, Running], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = edges
    text = minted(cluster)
    url = await ticket(one, text)
    await other.services.tickets.key(day_of(time.time()))
    monkeypatch.setattr(other.services.tickets._bucket._api, "timeout", 0.2)  # type: ignore[attr-defined]
    await freeze(cluster.nats)
    try:
        for extra in ((), (f"Cookie: __Host-slipstream={text}",)):
            answer = await get(other, url, SAME, EVENT_SOURCE, *extra)
            short_stream(answer, "UPSTREAM_UNAVAILABLE")
            assert "set-cookie" not in answer.headers, "nobody has proven anything"
    finally:
        cluster.nats.resume()
    monkeypatch.undo()
    stream, _ = await opened(cluster, other, url, SAME)
    assert cookie(stream.head) == (text, STRICT), "the lost answers did not cost the ticket"


@pytest.mark.parametrize(
    ("headers", "credentials", "attributes"),
    [
        ([SAME], True, STRICT),
        (["Sec-Fetch-Site: same-site"], True, STRICT),
        (["Sec-Fetch-Site: none"], True, STRICT),
        ([CROSS, f"Origin: {APP}"], True, FOREIGN),
        ([f"Origin: {APP}"], True, STRICT),
        ([CROSS, f"Origin: {APP}"], False, None),
        ([CROSS], True, None),
        ([], True, None),
        (["Sec-Fetch-Site: nonsense"], True, None),
    ],
    ids=lambda one: str(sorted(one) if isinstance(one, set) else one),
)
async def test_the_cookie_is_set_where_it_counts_and_nowhere_else(
    cluster: Cluster,
    edges: tuple[Running, Running],
    headers: list[str],
    credentials: bool,  # noqa: FBT001
    attributes: set[str] | None,
) -> None:
    one, _ = edges
    await applied(cluster, one, cors={"origins": [APP], "credentials": credentials})
    text = minted(cluster)
    stream, _ = await opened(cluster, one, f"tenant={cluster.tenant}&{await ticket(one, text)}", *headers)
    if attributes is None:
        assert "set-cookie" not in stream.head.headers
    else:
        assert cookie(stream.head) == (text, attributes)
    if f"Origin: {APP}" in headers:
        assert stream.head.headers["access-control-allow-origin"] == APP


async def test_who_gets_a_ticket(cluster: Cluster, edges: tuple[Running, Running]) -> None:
    one, _ = edges
    text = minted(cluster)
    kept = f"Cookie: __Host-slipstream={text}"
    assert (await asked(one, kept, SAME)).status == 200
    assert (await asked(one, bearer(text), query=f"tenant={cluster.tenant}")).status == 200
    for headers in ((), (kept,), (kept, CROSS), ("Authorization: Basic YTpi",), (bearer("x.y.z"),)):
        problem(await asked(one, *headers), 401, "UNAUTHORIZED")
    problem(await asked(one, bearer(minted(cluster, scope="publish"))), 403, "FORBIDDEN")
    problem(await asked(one, bearer(text), query="tenant=nobody"), 403, "FORBIDDEN")
    problem(await asked(one, kept, CROSS, f"Origin: {APP}", query=f"tenant={cluster.tenant}"), 403, "FORBIDDEN")
    assert (await get(one, "", bearer(text), path=TICKETS)).status == 405

    long = minted(cluster, note="n" * 3_000)
    assert 4_096 < len(long) < 8_192
    assert (await get(one, "", bearer(long), path=POLLS)).status == 200
    assert "4078" in problem(await asked(one, bearer(long)), 400, "BAD_REQUEST")
    fits = minted(cluster, note="n" * 2_500)
    assert 3_900 < len(fits) <= 4_078
    stream, _ = await opened(cluster, one, await ticket(one, fits), SAME)
    assert cookie(stream.head)[0] == fits


async def test_a_page_of_another_origin_may_ask_where_the_tenant_allows_it(
    cluster: Cluster, edges: tuple[Running, Running]
) -> None:
    one, _ = edges
    await applied(cluster, one, cors={"origins": [APP]})
    target = f"{TICKETS}?tenant={cluster.tenant}"
    wanted = ("Access-Control-Request-Method: POST", "Access-Control-Request-Headers: authorization")
    before = await call(one.server.port, target, f"Origin: {APP}", *wanted, method="OPTIONS")
    assert before.status == 204
    assert before.headers["access-control-allow-methods"] == "POST, OPTIONS"
    assert before.headers["access-control-allow-headers"] == "authorization"
    answer = await call(
        one.server.port, target, f"Origin: {APP}", CROSS, bearer(minted(cluster)), method="POST", body=b""
    )
    assert answer.status == 200
    assert answer.headers["access-control-allow-origin"] == APP
    evil = await call(
        one.server.port, target, "Origin: https://evil.example", bearer(minted(cluster)), method="POST", body=b""
    )
    problem(evil, 403, "FORBIDDEN")


async def test_without_authentication_tickets_are_of_no_use(cluster: Cluster) -> None:
    async with cluster.edge() as running:
        detail = problem(
            await call(running.server.port, cluster.target(path=TICKETS), method="POST", body=b""), 400, "BAD_REQUEST"
        )
        assert "of no use here" in detail
        assert (await get(running, f"tenant={cluster.tenant}&ticket=x", path=POLLS)).status == 200


async def test_nothing_of_a_ticket_or_its_token_is_logged(
    cluster: Cluster, edges: tuple[Running, Running], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    one, other = edges
    text = minted(cluster)
    urls = [await ticket(one, text) for _ in range(4)]
    answers: list[Answer] = []
    stream, _ = await opened(cluster, other, urls[0], SAME)
    stream.wire.close()
    answers += [await get(other, f"{urls[0]}{more}", SAME, path=path) for more in ("", "x") for path in (PATH, POLLS)]
    answers.append(await get(other, f"{urls[1]}&limit=0", SAME, path=POLLS))
    answers.append(await get(other, urls[2], SAME, path="/nowhere"))
    other.services.hub.hold = None  # type: ignore[method-assign, assignment]
    answers.append(await get(other, urls[3], SAME))
    assert answers[-1].status == 500
    assert cookie(answers[-1]) == (text, STRICT)
    said = caplog.text
    for answer in answers:
        answer.headers.pop("set-cookie", None)
        said += answer.body.decode() + json.dumps(answer.headers)
    caplog.clear()
    for secret in (*text.split("."), *(url.removeprefix("ticket=") for url in urls)):
        assert secret[:24] not in said
