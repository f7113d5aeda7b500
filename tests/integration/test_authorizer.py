"""A tenant's authorizer on a real edge: asked with the caller's token, at every door, and never silently open."""

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from slipstream.app import Running
from slipstream.jetstream.bucket import Bucket
from tests.authorizer import AuthorizerServer
from tests.integration.answers import problem
from tests.integration.cluster import Cluster
from tests.integration.guarded import KEY, PATH, applied, bearer, get, guarded, minted, opened, post
from tests.integration.wire import call, until
from tests.tokens import ISSUER, JwksServer, jwk

LOOPS = ("uvloop",)

INLINE = {"issuer": ISSUER, "keys": [jwk(KEY)]}
SAME = "Sec-Fetch-Site: same-origin"


@pytest.fixture
async def webhook() -> AsyncIterator[AuthorizerServer]:
    async with AuthorizerServer.serving() as server:
        yield server


@pytest.fixture
async def running(
    cluster: Cluster, keys: JwksServer, webhook: AuthorizerServer, tmp_path: Path
) -> AsyncIterator[Running]:
    async with guarded(cluster, keys, tmp_path) as one:
        await applied(cluster, one, authorizer={"url": webhook.url}, access_token_in_url=True)
        yield one


async def test_every_door_asks_with_the_callers_token_and_the_topics_of_the_request(
    cluster: Cluster, running: Running, webhook: AuthorizerServer
) -> None:
    text = minted(cluster, topics={"subscribe": ["orders.>", "news.*"], "publish": ["orders.>"]})
    stream, _ = await opened(cluster, running, "", bearer(text))
    await post(running, text, {"topic": "orders.a", "data": 1})
    (event,) = await stream.published(1)
    many = [{"topic": topic, "data": 1} for topic in ("orders.c", "orders.b", "secret", "orders.c", "a..b")]
    answer = await post(running, text, many)
    assert [one.get("seq") for one in answer.json["results"]] == [2, 3, None, 4, None]
    await opened(cluster, running, "topic=orders.a", bearer(text), f"Last-Event-ID: {event.id}")
    assert (await get(running, "topic=news.eu", bearer(text), path="/v1/poll")).status == 200
    assert (await call(running.server.port, f"{PATH}?topic=orders.h", bearer(text), method="HEAD")).status == 200
    assert webhook.asked == [
        {"tenant": cluster.tenant, "subject": "ada", "action": action, "topics": topics}
        for action, topics in (
            ("subscribe", ["news.*", "orders.>"]),
            ("publish", ["orders.a"]),
            ("publish", ["orders.b", "orders.c"]),
            ("subscribe", ["orders.a"]),
            ("subscribe", ["news.eu"]),
            ("subscribe", ["orders.h"]),
        )
    ]
    assert set(webhook.tokens) == {f"Bearer {text}"}


async def test_a_token_of_a_cookie_or_the_url_is_passed_on_as_a_bearer(
    cluster: Cluster, running: Running, webhook: AuthorizerServer
) -> None:
    texts = [minted(cluster, jti=f"{number}") for number in range(2)]
    assert (await get(running, "", f"Cookie: __Host-slipstream={texts[0]}", SAME, path="/v1/poll")).status == 200
    assert (await get(running, f"access_token={texts[1]}", path="/v1/poll")).status == 200
    assert webhook.tokens == [f"Bearer {text}" for text in texts]


async def test_who_is_refused_learns_no_more_than_from_any_other_403(
    cluster: Cluster, running: Running, webhook: AuthorizerServer
) -> None:
    webhook.body = b'{"allow":false,"why":"the invoice was not paid"}'
    text = minted(cluster)
    answers = [
        await get(running, "", bearer(text), "Accept: text/event-stream"),
        await get(running, "", bearer(text), path="/v1/poll"),
        await post(running, text, {"topic": "a", "data": 1}),
        await post(running, text, [{"topic": "a", "data": 1}, {"topic": "b", "data": 1}]),
        await get(running, "", bearer(minted(cluster, scope=None))),
    ]
    for answer in answers:
        problem(answer, 403, "FORBIDDEN")
    assert len({json.dumps({**answer.json, "trace_id": ""}) for answer in answers}) == 1
    assert (await cluster.api.request(f"$JS.API.STREAM.INFO.SSE_{cluster.tenant}", b"")).count(b'"messages":0') == 1


async def test_answers_are_remembered_and_a_change_of_the_document_counts_at_once(
    cluster: Cluster, running: Running, webhook: AuthorizerServer
) -> None:
    text = minted(cluster)
    for _ in range(9):
        assert (await get(running, "", bearer(text), path="/v1/poll")).status == 200
    assert len(webhook.asked) == 1
    webhook.body = b'{"allow":false}'
    await applied(cluster, running, authorizer={"url": webhook.url, "cache": 0})
    for _ in range(3):
        problem(await get(running, "", bearer(text), path="/v1/poll"), 403, "FORBIDDEN")
    assert len(webhook.asked) == 4
    await applied(cluster, running)
    assert (await get(running, "", bearer(text), path="/v1/poll")).status == 200
    assert len(webhook.asked) == 4


async def test_it_is_asked_last_of_all_and_not_about_those_who_are_refused_anyway(
    cluster: Cluster, running: Running, webhook: AuthorizerServer
) -> None:
    narrow = minted(cluster, scope="subscribe", topics={"subscribe": ["a"]})
    await get(running, "", bearer(minted(cluster)[:-4]))
    await get(running, "topic=b", bearer(narrow))
    await get(running, "topic=a..b", bearer(narrow))
    await get(running, "tenant=other", bearer(narrow))
    await post(running, narrow, {"topic": "a", "data": 1})
    await post(running, minted(cluster, topics={"publish": ["a"]}), [{"topic": "b", "data": 1}])
    assert webhook.asked == []


@pytest.mark.parametrize("trouble", ["silent", "slow-body", "huge", "redirect", "hang-up", "garbage", "500", "text"])
async def test_without_an_answer_nobody_gets_in_and_all_are_told_to_come_back(
    cluster: Cluster, running: Running, webhook: AuthorizerServer, trouble: str
) -> None:
    await applied(cluster, running, authorizer={"url": webhook.url, "timeout": 0.2})
    webhook.trouble = trouble
    webhook.status = 500 if trouble == "500" else 200
    webhook.body = b"allow: true" if trouble == "text" else webhook.body
    text = minted(cluster)
    answer = await get(running, "", bearer(text), path="/v1/poll")
    problem(answer, 503, "UPSTREAM_UNAVAILABLE")
    assert int(answer.headers["retry-after"]) >= 1
    assert "the tenant's authorizer does not answer" in answer.json["detail"]
    assert "spec.authorizer.url" in answer.json["fix"]
    assert "NATS" not in answer.body.decode(), "nothing is wrong with it"
    assert webhook.url not in answer.body.decode()
    problem(await post(running, text, {"topic": "a", "data": 1}), 503, "UPSTREAM_UNAVAILABLE")
    browser = await get(running, "", bearer(text), "Accept: text/event-stream")
    assert browser.status == 200
    assert json.loads(browser.events[0].data)["code"] == "SSE_UPSTREAM_UNAVAILABLE"
    assert set(webhook.paths) == {"/allow"}
    webhook.trouble, webhook.status, webhook.body = "", 200, b'{"allow":true}'
    assert (await get(running, "", bearer(text), path="/v1/poll")).status == 200


async def test_a_dead_webhook_costs_a_few_their_timeout_and_the_crowd_nothing(
    cluster: Cluster, running: Running, webhook: AuthorizerServer
) -> None:
    await applied(cluster, running, authorizer={"url": webhook.url, "timeout": 0.3})
    webhook.trouble = "silent"
    texts = [minted(cluster, jti=f"{number}") for number in range(60)]
    for text in texts[:5]:
        problem(await get(running, "", bearer(text), path="/v1/poll"), 503, "UPSTREAM_UNAVAILABLE")
    for text in texts[5:40]:
        problem(await get(running, "", bearer(text), path="/v1/poll"), 503, "UPSTREAM_UNAVAILABLE")
    assert len(webhook.asked) <= 7, "the others were not asked about, but for one in a pause"
    status = (await call(running.server.admin_port, "/statusz")).json["authorizers"]
    assert status["failing"][cluster.tenant]["failures"] >= 5
    # The neighbour, who has no authorizer, notices nothing.
    await cluster.make("neighbour-of-the-dead")
    await until(lambda: running.services.registry.get("neighbour-of-the-dead") is not None, "the neighbour is known")
    neighbour = minted(cluster, tenant="neighbour-of-the-dead")
    assert (await get(running, "", bearer(neighbour), path="/v1/poll")).status == 200
    webhook.trouble = ""
    deadline = time.monotonic() + 10
    while (await get(running, "", bearer(texts[50]), path="/v1/poll")).status != 200:
        assert time.monotonic() < deadline, "it never came back"
        await asyncio.sleep(0.1)


async def test_an_authorizer_that_is_no_longer_a_tenants_does_not_fail(
    cluster: Cluster, running: Running, webhook: AuthorizerServer
) -> None:
    webhook.status = 500
    assert (await get(running, "", bearer(minted(cluster)), path="/v1/poll")).status == 503
    authorizers = running.services.authorizers
    assert cluster.tenant in str(authorizers.document()["failing"])
    await applied(cluster, running, authorizer={"url": webhook.url}, access_token_in_url=False)
    assert cluster.tenant in str(authorizers.document()["failing"]), "another part of the document has changed"
    await Bucket(cluster.api).delete(cluster.tenant)
    await until(lambda: not authorizers.document()["failing"], "the tenant was removed")
    assert not authorizers._doors


async def test_an_open_stream_goes_on_while_the_webhook_is_away(
    cluster: Cluster, running: Running, webhook: AuthorizerServer
) -> None:
    stream, _ = await opened(cluster, running, "", bearer(minted(cluster)))
    webhook.status = 500
    await cluster.put("a", b"one")
    assert [event.data for event in await stream.published(1)] == ["one"]


async def test_nothing_of_a_token_is_logged_or_told_whatever_the_webhook_does(
    cluster: Cluster, running: Running, webhook: AuthorizerServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    await applied(cluster, running, authorizer={"url": webhook.url, "timeout": 0.1, "cache": 0})
    texts, answers = [], []
    for number, trouble in enumerate(("", "silent", "huge", "redirect", "hang-up", "garbage", "echo")):
        texts.append(minted(cluster, jti=f"{number}"))
        webhook.trouble = trouble
        webhook.body = texts[-1].encode() if trouble == "echo" else b'{"allow":true}'
        answers.append(await get(running, "", bearer(texts[-1]), path="/v1/poll"))
    assert [answer.status for answer in answers].count(200) == 1
    said = caplog.text + "".join(answer.body.decode() + str(answer.headers) for answer in answers)
    assert webhook.url in said
    caplog.clear()
    assert all(part not in said for text in texts for part in text.split("."))


async def test_admin_is_asked_for_without_topics(cluster: Cluster, running: Running, webhook: AuthorizerServer) -> None:
    text = minted(cluster, scope="admin")
    assert (await get(running, "", bearer(text), path="/v1/streams")).status == 200
    assert [(question["action"], question["topics"]) for question in webhook.asked] == [("admin", [])]
    webhook.status = 403
    text = minted(cluster, scope="admin", jti="another")
    problem(await get(running, "", bearer(text), path="/v1/streams"), 403, "FORBIDDEN")


async def test_a_stream_goes_on_by_a_newer_token_only_if_the_authorizer_says_so(
    cluster: Cluster, running: Running, webhook: AuthorizerServer
) -> None:
    _, ready = await opened(cluster, running, "topic=a", bearer(minted(cluster)))
    path, newer = f"/v1/streams/{ready['stream']}/token", minted(cluster, jti="newer")
    assert (await call(running.server.port, path, bearer(newer), method="POST")).status == 200
    assert webhook.asked[-1]["topics"] == ["a"]
    assert webhook.tokens[-1] == f"Bearer {newer}"
    webhook.status = 403
    refused = minted(cluster, jti="refused")
    problem(await call(running.server.port, path, bearer(refused), method="POST"), 403, "FORBIDDEN")
    webhook.status = 500
    unknown = minted(cluster, jti="unknown")
    problem(await call(running.server.port, path, bearer(unknown), method="POST"), 503, "UPSTREAM_UNAVAILABLE")


async def test_where_private_networks_are_denied_neither_keys_nor_authorizers_are_asked_there(
    cluster: Cluster, keys: JwksServer, webhook: AuthorizerServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with guarded(cluster, keys, tmp_path, deny_private_networks=True) as running:
        problem(await get(running, "", bearer(minted(cluster)), path="/v1/poll"), 503, "UPSTREAM_UNAVAILABLE")
        assert keys.asked == []
        assert "SLIPSTREAM_DENY_PRIVATE_NETWORKS" in caplog.text
        await applied(cluster, running, issuers=[INLINE], authorizer={"url": webhook.url})
        problem(await get(running, "", bearer(minted(cluster)), path="/v1/poll"), 503, "UPSTREAM_UNAVAILABLE")
        assert webhook.asked == []
        await applied(cluster, running, issuers=[INLINE])
        assert (await get(running, "", bearer(minted(cluster)), path="/v1/poll")).status == 200
