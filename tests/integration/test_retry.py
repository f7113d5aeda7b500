"""What is agreed about coming back, told by a real edge; and the client library, which goes by it."""

import asyncio
import itertools
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from slipstream.app import Running
from slipstream.client import Preferences, Publisher, Refused, RetryState, Stream, Unconfirmed, Unreachable
from slipstream.client.publish import body_of
from slipstream.demo import earthquakes
from slipstream.protocol.retry import BASE_HEADER, POLICY_HEADER, Terms
from tests.integration.answers import JSON, problem
from tests.integration.cluster import Cluster, text_of
from tests.integration.guarded import applied, bearer, guarded, minted
from tests.integration.wire import Answer, call, until
from tests.negotiation import ROWS
from tests.servers import HOST, NatsServer
from tests.tokens import JwksServer

LOOPS = ("uvloop",)

QUAKES = list(itertools.islice(earthquakes(), 20))
EVENT_SOURCE = "Accept: text/event-stream"
WISH = "max-jitter=50ms, backoff=exponential, idempotency-aware=true, max-attempts=3"
MADE: list[Publisher] = []
ANY = "max-jitter=1500ms, backoff=exponential, idempotency-aware=false, max-attempts=5, retryable=(408 429 5xx)"


@pytest.fixture(autouse=True)
async def closing() -> AsyncIterator[None]:
    yield
    while MADE:
        MADE.pop().close()
    await asyncio.sleep(0)  # a transport closes in the loop's next turn


def publisher_of(running: Running, cluster: Cluster, **options: Any) -> Publisher:
    """A publisher that is closed with the test."""
    MADE.append(Publisher(url(running), cluster.tenant, **options))
    return MADE[-1]


def told(headers: dict[str, str]) -> tuple[str, str]:
    return headers[POLICY_HEADER.lower()], headers[BASE_HEADER.lower()]


def terms(headers: dict[str, str]) -> Terms:
    policy, base = told(headers)
    return Terms.read(policy, base, Terms(0, 0))


def url(running: Running) -> str:
    return f"http://{HOST}:{running.server.port}"


async def post(running: Running, cluster: Cluster, event: dict[str, Any], *headers: str) -> Answer:
    body = json.dumps(event).encode()
    return await call(running.server.port, cluster.target(), JSON, *headers, method="POST", body=body)


async def test_every_row_of_the_negotiation_by_header_and_by_parameter(cluster: Cluster) -> None:
    async with cluster.edge() as running:
        for row in ROWS:
            await applied(cluster, running, retry=row.policy)
            header = [f"Retry-Preferences: {row.preferences}"] if row.preferences else []
            query = urlencode({"retry_preferences": row.preferences})
            for parameters, headers in (("", header), (query, []), (query, [*header, EVENT_SOURCE])):
                answer = await call(running.server.port, cluster.target(parameters), *headers, method="HEAD")
                assert (answer.status, told(answer.headers)) == (200, (row.answer, row.base)), row


async def test_the_header_goes_before_the_parameter_and_may_come_in_pieces(cluster: Cluster) -> None:
    async with cluster.edge() as running:
        target = cluster.target("retry_preferences=max-attempts%3D7&retry_preferences=backoff%3Dlinear")
        answer = await call(running.server.port, target, method="HEAD")
        assert told(answer.headers)[0].startswith("max-jitter=1500ms, backoff=linear, idempotency-aware=false, max-at")
        assert terms(answer.headers).max_attempts == 7
        two = ("Retry-Preferences: max-attempts=9", "Retry-Preferences: max-jitter=1ms")
        agreed = terms((await call(running.server.port, target, *two, method="HEAD")).headers)
        assert (agreed.max_attempts, agreed.max_jitter_ms, agreed.backoff) == (9, 1, "exponential")


async def test_an_open_stream_is_told_to_come_back_within_the_agreed_jitter(cluster: Cluster) -> None:
    async with cluster.edge(retry_ms=2_000) as running:
        port = running.server.port
        for wish, low, high in ((WISH, 2_000, 2_050), ("base=100ms, max-jitter=0ms", 1_000, 1_000), ("", 2_000, 3_000)):
            drawn = set()
            for _ in range(8):
                stream = await cluster.opened(port, "", f"Retry-Preferences: {wish}")
                assert stream.parser.retry is not None
                drawn.add(stream.parser.retry)
                stream.wire.close()
            assert low <= min(drawn) <= max(drawn) <= high
            assert len(drawn) > 1 or low == high, "they would come back together"


@pytest.mark.parametrize(("base", "wait"), [(1_000, 2_000), (5_000, 5_000)])
async def test_a_passing_refusal_has_the_terms_in_both_of_its_forms(cluster: Cluster, base: int, wait: int) -> None:
    async with cluster.edge(max_connections=1, retry_ms=base) as running:
        port = running.server.port
        await cluster.opened(port)
        wish = "Retry-Preferences: max-jitter=10ms, max-attempts=2"
        refused = await call(port, cluster.target(), wish, EVENT_SOURCE)
        assert refused.status == 200
        (error,) = refused.events
        # 2 s is what the refusal itself says.
        assert error.retry is not None
        assert wait <= error.retry <= wait + 10
        assert json.loads(error.data)["retry"] == error.retry
        plain = await call(port, cluster.target(), wish)
        problem(plain, 503, "OVERLOADED")
        # Whole seconds, rounded up.
        assert wait // 1_000 <= int(plain.headers["retry-after"]) <= wait // 1_000 + 1
        for answer in (refused, plain):
            assert told(answer.headers) == (
                ANY.replace("1500ms", "10ms").replace("attempts=5", "attempts=2"),
                str(base),
            )


async def test_a_producer_that_is_told_when_there_is_room_need_not_wait_for_the_base(cluster: Cluster) -> None:
    async with cluster.edge(retry_ms=10_000) as running:
        await applied(cluster, running, quotas={"publish_rate": 1})
        async with asyncio.timeout(20):
            answer = await post(running, cluster, {"topic": "a", "data": 1}, f"Retry-Preferences: {WISH}")
            while answer.status == 200:
                answer = await post(running, cluster, {"topic": "a", "data": 1}, f"Retry-Preferences: {WISH}")
        problem(answer, 429, "QUOTA_EXCEEDED")
        assert int(answer.headers["retry-after"]) < 10


async def test_who_is_not_let_in_learns_nothing_of_the_tenant(
    cluster: Cluster, keys: JwksServer, tmp_path: Path
) -> None:
    async with guarded(cluster, keys, tmp_path) as running:
        await applied(cluster, running, retry={"max_attempts": {"max": 2}})
        port, target = running.server.port, cluster.target()
        good, weak = bearer(minted(cluster)), bearer(minted(cluster, scope="admin"))
        nowhere = bearer(minted(cluster, tenant="nowhere"))
        assert terms((await call(port, target, good, method="HEAD")).headers).max_attempts == 2
        for status, headers, path in ((401, [], target), (403, [weak], target), (403, [nowhere], "/v1/events")):
            answer = await call(port, path, *headers)
            assert answer.status == status
            assert told(answer.headers) == (ANY, "3000")


async def test_the_range_grows_with_the_live_streams(cluster: Cluster) -> None:
    async with cluster.edge(retry_ms=1_000) as running:
        port = running.server.port
        before = await call(port, cluster.target(), method="HEAD")
        assert terms(before.headers).max_jitter_ms == 500
        for _ in range(12):
            await asyncio.gather(*(cluster.opened(port, "topic=quiet") for _ in range(100)))
        assert len(running.services.hub.reactor) == 1_200
        assert terms((await call(port, cluster.target(), method="HEAD")).headers).max_jitter_ms == 600
        late = [await cluster.opened(port) for _ in range(20)]
        assert any(one.parser.retry is not None and one.parser.retry > 1_500 for one in late)


async def test_an_answer_to_a_publish_says_whether_it_may_be_repeated(tmp_path: Path) -> None:
    async with NatsServer(tmp_path) as nats, Cluster.on(nats) as cluster, cluster.edge() as running:

        async def retryable(event: dict[str, Any], status: int, *headers: str) -> str:
            answer = await post(running, cluster, event, *headers)
            assert answer.status == status, answer
            agreed = terms(answer.headers)
            return f"{' '.join(agreed.retryable)}, aware={agreed.idempotency_aware}"

        wish = f"Retry-Preferences: {WISH}"
        everything = "408 429 5xx"
        bare, with_id = {"topic": "a", "data": 1}, {"topic": "a", "data": 1, "id": "i-1"}
        # A claim is not believed against the fact.
        assert await retryable(bare, 200, wish) == "429, aware=False"
        assert await retryable(with_id, 200, wish) == f"{everything}, aware=True"
        assert await retryable(with_id, 200) == f"{everything}, aware=False"
        assert await retryable(bare, 200, wish, "Idempotency-Key: k-1") == f"{everything}, aware=True"
        assert await retryable({"topic": "*", "data": 1}, 400) == f"{everything}, aware=False"
        memory = running.services.memory
        memory.limit = 1  # byte
        memory.sample(1)
        assert await retryable(bare, 503) == f"{everything}, aware=False", "nothing was stored"
        memory.limit, memory.shedding = 0, False
        await nats.kill()
        unsafe, safe = await asyncio.gather(retryable(bare, 503), retryable(with_id, 503, wish))
        assert (unsafe, safe) == ("429, aware=False", f"{everything}, aware=True")


async def test_a_stream_obeys_what_was_agreed_and_gets_in_when_there_is_room(cluster: Cluster) -> None:
    async with cluster.edge(max_connections=1, retry_ms=1_000) as running:
        first = await cluster.opened(running.server.port)
        await cluster.publish(running, QUAKES[:3])
        stream = Stream(url(running), tenant=cluster.tenant, since="earliest", preferences=Preferences(max_jitter_ms=1))
        async with stream, asyncio.timeout(10):
            reading = asyncio.create_task(anext(stream), name="reading")
            await until(lambda: stream.counters.failures == 1, "refused")
            assert (stream.retry.attempt, stream.retry.code) == (1, "SSE_OVERLOADED")
            assert stream.retry.terms == Terms(1_000, 1, max_attempts=5)
            assert stream.retry.due_at is not None
            assert 1.0 < stream.retry.due_at - time.time() <= 3.002
            first.wire.close()
            messages = [await reading, await anext(stream), await anext(stream)]
            assert [message.data for message in messages] == [text_of(event) for event in QUAKES[:3]]
            assert (stream.retry.attempt, stream.counters.failures) == (0, 1)


async def test_a_stream_ends_after_the_attempts_that_the_tenant_allows(cluster: Cluster) -> None:
    async with cluster.edge(max_connections=1, retry_ms=1_000) as running:
        await applied(cluster, running, retry={"max_attempts": {"max": 1}, "max_jitter": {"max": "1ms"}})
        await cluster.opened(running.server.port)
        async with Stream(url(running), tenant=cluster.tenant) as stream, asyncio.timeout(10):
            with pytest.raises(Unreachable, match=r"1 attempts, .*SSE_OVERLOADED"):
                await anext(stream)


async def test_a_publish_outlasts_a_restart_of_the_log_and_is_stored_once(tmp_path: Path) -> None:
    async with NatsServer(tmp_path) as nats, Cluster.on(nats) as cluster, cluster.edge() as running:
        publisher = publisher_of(running, cluster)
        state, kept = RetryState(), list[dict[str, Any]]()
        await nats.kill()
        publishing = asyncio.create_task(
            publisher.publish("quakes.a", {"n": 1}, state=state, keep=lambda one: kept.append(one.to_dict())),
            name="publishing",
        )
        await until(lambda: state.attempt >= 1, "it failed once", 15.0)
        assert state.code == "SSE_UPSTREAM_UNAVAILABLE"
        assert state.terms.idempotency_aware
        await nats.start()
        async with asyncio.timeout(40):
            place = await publishing
        assert place.seq == 1
        assert {one["key"] for one in kept} == {state.key}
        # The process that published has died before it knew; the next one goes on with what it kept.
        again = await publisher.publish("quakes.a", {"n": 1}, state=RetryState.from_dict(kept[0]))
        assert again == place._replace(duplicate=True)
        # What is another event gets another key.
        assert (await publisher.publish("quakes.a", {"n": 1})).seq == 2


async def test_a_publisher_waits_for_a_quota_and_ends_where_it_must(cluster: Cluster) -> None:
    async with cluster.edge(retry_ms=1_000) as running:
        await applied(
            cluster,
            running,
            quotas={"publish_rate": 1},
            publish={"idempotency": "required"},
            retry={"max_attempts": {"max": 2}, "max_jitter": {"max": "1ms"}},
        )
        publisher = publisher_of(running, cluster, preferences=Preferences())
        async with asyncio.timeout(20):
            began = time.monotonic()
            places = [await publisher.publish("a", number) for number in range(3)]
            assert [place.seq for place in places] == [1, 2, 3]
            assert time.monotonic() - began >= 1.0
            with pytest.raises(Refused, match="400 SSE_BAD_REQUEST"):
                await publisher.publish("a.*", 1)
            running.services.memory.limit = 1  # byte
            running.services.memory.sample(1)
            with pytest.raises(Unconfirmed, match="2 attempts failed; the last: 503 SSE_OVERLOADED") as end:
                await publisher.publish("a", 4)
            assert end.value.state.attempt == 2


async def test_a_publisher_s_text_and_json_arrive_as_a_reader_expects(cluster: Cluster) -> None:
    async with cluster.edge() as running:
        publisher = publisher_of(running, cluster)
        for data in ("plain text", {"größe": 1.50}, None):
            await publisher.publish("a", data, event="made")
        server = running.server._runners[-1].server
        assert server is not None
        assert len(server.connections) == 1, "one connection is enough for one after the other"
        async with Stream(url(running), tenant=cluster.tenant, since="earliest") as stream, asyncio.timeout(10):
            found = [await anext(stream) for _ in range(3)]
        assert [one.data for one in found] == ["plain text", '{"größe":1.5}', "null"]
        assert {one.event for one in found} == {"made"}
        assert json.loads(body_of("a", "x"))["data"] == "x"
