"""Tokens on real edges: who gets in, what they see and store, and that a stream ends with its token."""

import asyncio
import itertools
import json
import logging
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from slipstream.app import Running
from slipstream.demo import earthquakes
from slipstream.fanout.connection import Ending
from slipstream.jetstream.bucket import Bucket
from slipstream.protocol.position import Position
from tests.integration.answers import JSON, problem
from tests.integration.cluster import Cluster, text_of
from tests.integration.guarded import PATH, applied, bearer, get, guarded, minted, opened, post
from tests.integration.wire import call, until
from tests.tokens import JwksServer, rsa_key

LOOPS = ("uvloop",)

QUAKES = list(itertools.islice(earthquakes(), 40))
SAME = "Sec-Fetch-Site: same-origin"


@pytest.fixture
async def running(cluster: Cluster, keys: JwksServer, tmp_path: Path) -> AsyncIterator[Running]:
    async with guarded(cluster, keys, tmp_path) as one:
        yield one


async def test_a_poll_ends_with_its_token(cluster: Cluster, running: Running) -> None:
    ends = int(time.time()) + 2
    waiting = asyncio.create_task(get(running, "wait=3", bearer(minted(cluster, exp=ends)), path="/v1/poll"))
    await until(lambda: any(tail.attached.is_set() for tail in running.services.hub.tails), "it waits")
    await until(lambda: time.time() > ends, "the token ends")
    await cluster.put("a", b"too late")
    answer = await waiting
    problem(answer, 401, "TOKEN_EXPIRED")
    assert b"too late" not in answer.body


async def test_subscribe_resume_and_poll_with_a_token(cluster: Cluster, running: Running, keys: JwksServer) -> None:
    text = minted(cluster, exp=int(time.time()) + 3_000)
    stream, ready = await opened(cluster, running, "", bearer(text))
    assert ready["tenant"] == cluster.tenant
    assert ready["topics"] == [">"]
    assert abs(ready["expires_at"] - time.time() - 3_000) < 30
    await cluster.publish(running, QUAKES[:6])
    events = await stream.published(6)
    stream.wire.close()
    again, _ = await opened(
        cluster, running, "", f"Last-Event-ID: {events[2].id}", f"Cookie: __Host-slipstream={text}", SAME
    )
    assert [event.id for event in await again.published(3)] == [event.id for event in events[3:]]
    page = await get(running, f"last_event_id={events[3].id}&tenant={cluster.tenant}", bearer(text), path="/v1/poll")
    assert [event["data"] for event in page.json["events"]] == [text_of(event) for event in QUAKES[4:6]]
    assert running.services.verifier.checked == 1
    assert keys.asked == ["/jwks.json"]
    again.wire.close()
    hub = running.services.hub
    await until(lambda: not len(hub.reactor), "both have left")
    assert len(hub._lifetimes) == 0, "who has left is not kept until the token ends"


async def test_a_token_without_topics_of_its_own_gets_those_it_asks_for(cluster: Cluster, running: Running) -> None:
    text = minted(cluster, topics={"subscribe": ["orders.*", "news.>"], "publish": ["orders.new"]})
    stream, ready = await opened(cluster, running, "", bearer(text))
    assert ready["topics"] == ["news.>", "orders.*"], "no topic asked for: all that the token is for"
    narrow, ready = await opened(cluster, running, "topic=news.eu.*", bearer(text))
    assert ready["topics"] == ["news.eu.*"]
    for topic in ("secret.x", "orders.new", "news.eu.a"):
        await cluster.put(topic, topic.encode())
    assert [event.data for event in await stream.published(2)] == ["orders.new", "news.eu.a"]
    assert [event.data for event in await narrow.published(1)] == ["news.eu.a"]
    page = await get(running, "since=earliest", bearer(text), path="/v1/poll")
    assert [event["topic"] for event in page.json["events"]] == ["orders.new", "news.eu.a"]
    for topic in (">", "orders.>", "secret.x", "*.new", "topic=orders.new&topic=secret.x"):
        query = topic if "=" in topic else f"topic={topic}"
        for path in (PATH, "/v1/poll"):
            problem(await get(running, query, bearer(text), path=path), 403, "FORBIDDEN")
    problem(await get(running, "topic=a..b", bearer(text)), 400, "BAD_REQUEST")


async def test_what_is_not_there_and_what_is_not_permitted_look_alike(cluster: Cluster, running: Running) -> None:
    await cluster.make("neighbour")
    await until(lambda: running.services.registry.get("neighbour") is not None, "the neighbour is known")
    reads = {"subscribe": ["a"], "publish": ["a"]}
    asked = [
        (minted(cluster, tenant="nobody"), ""),
        (minted(cluster), "tenant=nobody"),
        (minted(cluster), "tenant=neighbour"),
        (minted(cluster, tenant="neighbour"), f"tenant={cluster.tenant}"),
        (minted(cluster, scope="publish"), ""),
        (minted(cluster, scope="Subscribe subscribe:x admin"), ""),
        (minted(cluster, scope=None), ""),
        (minted(cluster, topics=reads), "topic=b"),
        (minted(cluster, topics=reads), "topic=unheard-of"),
        (minted(cluster, topics={}), ""),
    ]
    seen = set()
    for text, query in asked:
        for path in (PATH, "/v1/poll"):
            answer = await get(running, query, bearer(text), "Accept: text/event-stream", path=path)
            problem(answer, 403, "FORBIDDEN")
            document = {name: value for name, value in answer.json.items() if name != "trace_id"}
            seen.add(json.dumps(document))
            assert (await get(running, query, bearer(text), f"Last-Event-ID: {Position('abcdefgh', 5)}")).status == 403
    for text in (minted(cluster, tenant="nobody"), minted(cluster, scope="subscribe"), minted(cluster, topics={})):
        answer = await post(running, text, {"topic": "a", "data": 1})
        problem(answer, 403, "FORBIDDEN")
        seen.add(json.dumps({name: value for name, value in answer.json.items() if name != "trace_id"}))
    assert len(seen) == 1
    assert (
        await get(running, "", bearer(minted(cluster)), f"X-Tenant-ID: {cluster.tenant}", path="/v1/poll")
    ).status == 200


async def test_publishing_needs_the_scope_and_every_topic(cluster: Cluster, running: Running) -> None:
    text = minted(cluster, scope="publish", topics={"publish": ["orders.>"]})
    assert (await post(running, text, {"topic": "orders.new", "data": 1})).json["seq"] == 1
    problem(await post(running, text, {"topic": "secret", "data": 1}), 403, "FORBIDDEN")
    many = [{"topic": topic, "data": 1} for topic in ("orders.a", "secret", "orders.b", "a..b")]
    answer = await post(running, text, many)
    assert answer.status == 200
    results = answer.json["results"]
    assert [one.get("seq") for one in results] == [2, None, 3, None]
    assert [one["error"]["code"] for one in results if "error" in one] == ["SSE_FORBIDDEN", "SSE_BAD_REQUEST"]
    answer = await post(running, text, [{"topic": "x", "data": 1}, {"topic": "y", "data": 1}])
    assert (answer.status, answer.json["code"]) == (403, "SSE_FORBIDDEN")
    problem(await get(running, "", bearer(text)), 403, "FORBIDDEN")
    cookie = f"Cookie: __Host-slipstream={text}"
    stored = await call(
        running.server.port, PATH, cookie, SAME, JSON, method="POST", body=b'{"topic":"orders.c","data":1}'
    )
    assert stored.json["seq"] == 4


@pytest.mark.parametrize(
    ("headers", "error"),
    [
        ([], ""),
        (["Authorization: Basic YTpi"], ""),
        (["Authorization: Bearer"], ""),
        (["Authorization: Bearer x.y.z"], ', error="invalid_token"'),
        (["Authorization: Bearer x", "Cookie: __Host-slipstream=GOOD", SAME], ', error="invalid_token"'),
        (["Cookie: slipstream=GOOD", SAME], ""),
        (["Cookie: __Host-slipstream=x", SAME], ', error="invalid_token"'),
        (["Cookie: __Host-slipstream=GOOD", "Sec-Fetch-Site: cross-site"], ""),
        (["Cookie: __Host-slipstream=GOOD"], ""),
        (["Authorization: bearer WRONG"], ', error="invalid_token"'),
    ],
    ids=str,
)
async def test_without_a_good_credential_it_is_401(
    cluster: Cluster, running: Running, headers: list[str], error: str
) -> None:
    good, wrong = minted(cluster), minted(cluster, rsa_key(7), iss="https://other")
    lines = [line.replace("GOOD", good).replace("WRONG", wrong) for line in headers]
    for path in (PATH, "/v1/poll"):
        answer = await get(running, "refusal=stream", *lines, "Accept: text/event-stream", path=path)
        problem(answer, 401, "UNAUTHORIZED")
        assert answer.headers["www-authenticate"] == f'Bearer realm="slipstream"{error}'
    assert (await get(running, "", f"Authorization: bEARER  {good}", path="/v1/poll")).status == 200
    problem(await get(running, "", bearer(good), bearer(good)), 400, "BAD_REQUEST")


async def test_a_cookie_counts_for_a_page_that_may_send_credentials(cluster: Cluster, running: Running) -> None:
    cookie, origin = f"Cookie: __Host-slipstream={minted(cluster)}", "https://app.example"
    page = f"tenant={cluster.tenant}", cookie, f"Origin: {origin}", "Sec-Fetch-Site: cross-site"
    problem(await get(running, *page, path="/v1/poll"), 403, "FORBIDDEN")
    await applied(cluster, running, cors={"origins": [origin], "credentials": False})
    detail = problem(await get(running, *page, path="/v1/poll"), 401, "UNAUTHORIZED")
    assert "cookie __Host-slipstream does not count" in detail
    await applied(cluster, running, cors={"origins": [origin], "credentials": True})
    assert (await get(running, *page, path="/v1/poll")).status == 200


async def test_a_token_in_the_url_counts_only_where_the_tenant_says_so(cluster: Cluster, running: Running) -> None:
    text = minted(cluster)
    problem(await get(running, f"access_token={text}"), 401, "UNAUTHORIZED")
    await applied(cluster, running, access_token_in_url=True)
    await opened(cluster, running, f"access_token={text}")
    problem(await get(running, f"access_token={text}&access_token={text}"), 400, "BAD_REQUEST")
    problem(await get(running, "access_token=x"), 401, "UNAUTHORIZED")
    problem(await get(running, f"access_token={text}", bearer("x")), 401, "UNAUTHORIZED")


async def test_a_stream_is_warned_and_ends_with_its_token(cluster: Cluster, running: Running) -> None:
    ends = int(time.time()) + 4
    short, long = minted(cluster, iat=ends - 20, exp=ends), minted(cluster)
    stream, ready = await opened(cluster, running, "", bearer(short))
    stays, _ = await opened(cluster, running, "", bearer(long))
    gzip, _ = await opened(cluster, running, "", bearer(short), "Accept-Encoding: gzip")
    assert ready["expires_at"] == ends
    await cluster.publish(running, QUAKES[:3])
    events = await stream.published(3)
    assert [event.id for event in await gzip.published(3)] == [event.id for event in events]
    for one in (stream, gzip):
        warning = await one.one("stream.expiring")
        assert one is gzip or time.time() < ends - 0.5, "in time to get another one"
        assert json.loads(warning.data) == {"expires_at": ends}
        assert warning.id == events[-1].id, "it moves nobody"
        error = (await one.end())[-1]
        assert one.ended
        assert 0 <= time.time() - ends < 5
        assert error.event == "error"
        told = json.loads(error.data)
        assert (told["code"], told["retry"]) == ("SSE_TOKEN_EXPIRED", False)
    assert running.services.hub.reactor.endings[Ending.EXPIRED] == 2
    await stays.published(3)
    answer = await get(running, "", bearer(short), f"Last-Event-ID: {events[-1].id}")
    problem(answer, 401, "TOKEN_EXPIRED")
    assert 'error="invalid_token"' in answer.headers["www-authenticate"]
    await cluster.publish(running, QUAKES[3:5])
    assert [event.data for event in await stays.published(2)] == [text_of(event) for event in QUAKES[3:5]]
    renewed, _ = await opened(cluster, running, "", bearer(long), f"Last-Event-ID: {events[-1].id}")
    assert [event.data for event in await renewed.published(2)] == [text_of(event) for event in QUAKES[3:5]]


async def test_masked_and_unmasked_readers_side_by_side_by_token(cluster: Cluster, running: Running) -> None:
    await applied(cluster, running, masking=[{"field": "phone", "method": "phone"}])
    clear = minted(cluster, scope="subscribe pii:read")
    masked = minted(cluster, scope="subscribe")
    streams = [(await opened(cluster, running, "", bearer(text)))[0] for text in (clear, masked)]
    await cluster.put("a", b'{"phone":"13812341234"}')
    shown = [(await stream.published(1))[0].data for stream in streams]
    assert shown == ['{"phone":"13812341234"}', '{"phone":"138****1234"}']
    pages = [await get(running, "since=earliest", bearer(text), path="/v1/poll") for text in (clear, masked)]
    assert [page.json["events"][0]["data"] for page in pages] == shown


async def test_a_tenant_that_is_removed_while_a_stream_begins_looks_like_one_that_never_was(
    cluster: Cluster, running: Running
) -> None:
    text = minted(cluster)
    stream, _ = await opened(cluster, running, "", bearer(text))
    await Bucket(cluster.api).delete(cluster.tenant)
    await until(lambda: running.services.registry.get(cluster.tenant) is None, "removed")
    assert json.loads((await stream.end())[-1].data)["code"] == "SSE_NOT_FOUND"
    problem(await get(running, "", bearer(text)), 403, "FORBIDDEN")


async def test_no_token_is_ever_logged(cluster: Cluster, keys: JwksServer, tmp_path: Path, caplog: Any) -> None:
    caplog.set_level(logging.DEBUG)
    ends = int(time.time()) + 2
    texts = [
        minted(cluster, iat=ends - 10, exp=ends),
        minted(cluster, rsa_key(6)),
        minted(cluster, tenant="nobody"),
        minted(cluster, scope="none"),
        minted(cluster)[:-5],
        "not-a-token-at-all",
    ]
    async with guarded(cluster, keys, tmp_path) as running:
        answers = []
        for text in texts:
            for headers, query in (
                ([bearer(text)], ""),
                ([f"Cookie: __Host-slipstream={text}", SAME], "topic=$"),
                ([], f"access_token={text}"),
            ):
                answers.append(await get(running, f"{query}&limit=0", *headers, path="/v1/poll"))
                answers.append(await get(running, query, *headers, path="/nowhere"))
        await applied(cluster, running, access_token_in_url=True)
        stream, _ = await opened(cluster, running, f"access_token={texts[0]}")
        await stream.end()
        # Something fails inside: the log gets its traceback.
        running.services.hub.hold = None  # type: ignore[method-assign, assignment]
        answers.append(await get(running, f"access_token={minted(cluster)}"))
        assert answers[-1].status == 500
    said = caplog.text + "".join(answer.body.decode() + str(answer.headers) for answer in answers)
    caplog.clear()
    for text in texts:
        for part in text.split("."):
            assert part not in said or len(part) < 8
