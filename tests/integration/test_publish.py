"""POST /v1/events in all its forms: what each stores, answers and refuses, and that a retry stores nothing twice."""

import asyncio
import base64
import gzip
import itertools
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from slipstream.app import Running
from slipstream.demo import DemoEvent, earthquakes
from slipstream.protocol.message_id import message_id
from tests.integration.answers import JSON
from tests.integration.cluster import Cluster, text_of
from tests.integration.wire import Answer, call, request, until
from tests.servers import NatsServer

LOOPS = ("uvloop",)

NDJSON = "Content-Type: application/x-ndjson"
CLOUDEVENT = "Content-Type: application/cloudevents+json; charset=utf-8"
CLOUDEVENTS = "Content-Type: application/cloudevents-batch+json"
QUAKES = list(itertools.islice(earthquakes(), 60))


def cloudevent(event: DemoEvent, source: str = "/usgs") -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": event["id"],
        "source": source,
        "type": event["event"],
        "subject": event["topic"],
        "time": "2018-04-05T17:31:00Z",
        "data": event["data"],
    }


def array(events: Iterable[object]) -> bytes:
    return json.dumps(list(events), indent=1, ensure_ascii=False).encode()


def lines(events: Iterable[object]) -> bytes:
    return b"\r\n".join(json.dumps(event, ensure_ascii=False).encode() for event in events)


Bodies = list[tuple[list[str], bytes]]
"""Headers and body of each request."""

ROADS: dict[str, Callable[[list[DemoEvent]], Bodies]] = {
    "one by one": lambda events: [([JSON], json.dumps(event, ensure_ascii=False).encode()) for event in events],
    "array": lambda events: [([JSON], array(events))],
    "ndjson": lambda events: [([NDJSON], lines(events))],
    "jsonl": lambda events: [(["Content-Type: application/jsonl"], b"\n\n" + lines(events) + b"\n")],
    "gzip": lambda events: [([NDJSON, "Content-Encoding: gzip"], gzip.compress(lines(events)))],
    "cloudevent": lambda events: [([CLOUDEVENT], json.dumps(cloudevent(event)).encode()) for event in events],
    "cloudevents": lambda events: [([CLOUDEVENTS], array(map(cloudevent, events)))],
    "binary": lambda events: [
        (
            [
                f"{'CE' if number % 2 else 'ce'}-{name}: {text}"
                for name, text in cloudevent(event).items()
                if name != "data"
            ]
            + [JSON],
            text_of(event).encode(),
        )
        for number, event in enumerate(events)
    ],
}


async def post(cluster: Cluster, running: Running, body: bytes, *headers: str, support: str = "optional") -> Answer:
    answer = await call(running.server.port, cluster.target(), *headers, method="POST", body=body)
    assert answer.headers["idempotency-support"] == support
    assert answer.headers["cache-control"] == "no-store"
    return answer


async def results(cluster: Cluster, running: Running, body: bytes, *headers: str, status: int = 200) -> list[Any]:
    answer = await post(cluster, running, body, *headers)
    assert answer.status == status, answer
    return list(answer.json["results"])


async def results_in_the_end(cluster: Cluster, running: Running, body: bytes, *headers: str) -> list[Any]:
    """Send it again, as a producer does, until every event is acknowledged."""
    async with asyncio.timeout(20):
        while True:
            answer = await post(cluster, running, body, *headers)
            if answer.status == 200 and b"error" not in answer.body:
                return list(answer.json["results"])
            await asyncio.sleep(0.1)


async def stored(cluster: Cluster, running: Running) -> list[tuple[str, str, str]]:
    """Topic, name and data of all that is there."""
    answer = await call(running.server.port, cluster.target("since=earliest&limit=1000", "/v1/poll"))
    return [(event["topic"], event["event"], event["data"]) for event in answer.json["events"]]


def seqs(found: list[Any]) -> list[int]:
    return [result["seq"] for result in found]


def errors(found: list[Any]) -> list[str]:
    return [result["error"]["message"] if "error" in result else "" for result in found]


@pytest.mark.parametrize("road", ROADS)
async def test_each_road_gives_the_same_bytes_and_a_retry_stores_none_twice(cluster: Cluster, road: str) -> None:
    async with cluster.edge() as running:
        seen: list[Any] = []
        for again in (False, True):
            found: list[Any] = []
            for headers, body in ROADS[road](QUAKES):
                answer = await post(cluster, running, body, *headers)
                assert answer.status == 200, answer
                found += answer.json.get("results", [answer.json])
            assert seqs(found) == list(range(1, len(QUAKES) + 1))
            assert {result["duplicate"] for result in found} == {again}
            seen.append([result["position"] for result in found])
        assert seen[0] == seen[1]
        assert await stored(cluster, running) == [(event["topic"], event["event"], text_of(event)) for event in QUAKES]


NUMBERS = '[1.0,1e400,0.1000000000000000055,123456789012345678901234567890,{"a":1,"a":2}]'


async def test_numbers_keep_their_spelling_on_every_road(cluster: Cluster) -> None:
    head = '"specversion":"1.0","source":"/s","type":"t","subject":"n"'
    roads = [
        ([JSON], f'{{"topic":"n","data": {NUMBERS} }}'),
        ([JSON], f'[{{"topic":"n","data":{NUMBERS.replace(",", " , ")}}}]'),
        ([NDJSON], f'{{"topic":"n","data":{NUMBERS}}}'),
        ([CLOUDEVENT], f'{{{head},"id":"1","data":{NUMBERS}}}'),
        ([CLOUDEVENTS], f'[{{{head},"id":"2","data":{NUMBERS}}}]'),
        ([JSON, "ce-specversion: 1.0", "ce-id: 3", "ce-source: /s", "ce-type: t", "ce-subject: n"], NUMBERS),
    ]
    async with cluster.edge() as running:
        for headers, body in roads:
            assert (await post(cluster, running, body.encode(), *headers)).status == 200
        assert [data for _, _, data in await stored(cluster, running)] == [NUMBERS] * len(roads)


async def test_one_bad_event_fails_none_of_its_neighbours(cluster: Cluster) -> None:
    items = [
        b'{"topic":"a","data":1}',
        b'{"topic":"a","data":2',
        b'{"topic":"*","data":3}',
        b"\xff",
        b'{"topic":"a","data":"' + b"x" * 1001 + b'"}',
        b"[]",
        b'{"topic":"a","data":4}',
    ]
    async with cluster.edge(event_bytes=1000) as running:
        found = await results(cluster, running, b"\n".join(items), NDJSON)
        assert [result.get("seq") for result in found] == [1, None, None, None, None, None, 2]
        for told, said in zip(
            errors(found), ("", "not JSON", "wildcard", "not UTF-8", "1001 bytes", "an object", ""), strict=True
        ):
            assert said in told
        assert {result["error"]["code"] for result in found if "error" in result} == {"SSE_BAD_REQUEST"}
        # An array is JSON as a whole or not at all.
        good = [item for number, item in enumerate(items) if number not in (1, 3)]
        found = await results(cluster, running, b"[" + b",".join(good) + b"]", JSON)
        assert [result.get("seq") for result in found] == [3, None, None, None, 4]
        answer = await post(cluster, running, b"[" + b",".join(items) + b"]", JSON)
        assert (answer.status, len(await stored(cluster, running))) == (400, 4)


@pytest.mark.parametrize(
    ("kind", "body", "status"),
    [
        (JSON, b'[{"topic":"*","data":1},{"data":1},5]', 400),
        (NDJSON, b"{\n{", 400),
        (CLOUDEVENTS, b'[{"specversion":"1.0"}]', 400),
        (JSON, b'[{"topic":"a","data":"' + b"x" * 1001 + b'"}]', 413),
    ],
)
async def test_where_all_failed_alike_the_status_says_so(cluster: Cluster, kind: str, body: bytes, status: int) -> None:
    async with cluster.edge(event_bytes=1000) as running:
        answer = await post(cluster, running, body, kind)
        assert answer.status == status
        assert answer.headers["content-type"] == "application/problem+json"
        document = answer.json
        assert (document["status"], document["code"]) == (status, "SSE_BAD_REQUEST")
        assert document["results"][0]["error"]["message"] == document["detail"]


@pytest.mark.parametrize(("kind", "body"), [(JSON, b" [ ] "), (NDJSON, b"\n \n"), (CLOUDEVENTS, b"[]")])
async def test_nothing_in_is_nothing_done(cluster: Cluster, kind: str, body: bytes) -> None:
    async with cluster.edge() as running:
        assert await results(cluster, running, body, kind) == []
        assert not await stored(cluster, running)


async def test_an_idempotency_key_covers_a_batch(cluster: Cluster) -> None:
    body = array([{"topic": "a", "data": 1}, {"topic": "a", "data": 1}, {"topic": "a", "data": 1, "id": "mine"}])
    async with cluster.edge() as running:
        for again in (False, True):
            found = await results(cluster, running, body, JSON, "Idempotency-Key: k")
            assert [(one["seq"], one["duplicate"]) for one in found] == [(1, again), (2, again), (3, again)]
        # Another key is another batch; what has an id of its own keeps it.
        found = await results(cluster, running, body, JSON, "Idempotency-Key: l")
        assert [(one["seq"], one["duplicate"]) for one in found] == [(4, False), (5, False), (3, True)]
        # The number in it is nobody else's id.
        assert not (await post(cluster, running, b'{"topic":"a","data":1}', JSON, "Idempotency-Key: k")).json[
            "duplicate"
        ]


async def test_a_batch_whose_answer_was_lost_is_stored_once(cluster: Cluster) -> None:
    """The producer hears nothing, whenever it is cut off, and sends the same again."""
    body = lines({"topic": "a", "data": number} for number in range(800))
    async with cluster.edge() as running:
        for pause in (0.0, 0.005, 0.02, 0.04):
            wire = await cluster.wire(running.server.port)
            length = f"Content-Length: {len(body)}"
            await wire.send(request(cluster.target(), NDJSON, length, "Idempotency-Key: k", method="POST") + body)
            await asyncio.sleep(pause)
            wire.reset()
        found = await results(cluster, running, body, NDJSON, "Idempotency-Key: k")
        assert seqs(found) == list(range(1, 801))
        assert [data for _, _, data in await stored(cluster, running)] == [str(number) for number in range(800)]


async def test_a_storm_of_duplicates_is_stored_once(cluster: Cluster) -> None:
    """Each event three times and all at once; the answers to two of them are never read."""

    async def lost(running: Running, event: DemoEvent, pause: float) -> None:
        body = json.dumps(event).encode()
        wire = await cluster.wire(running.server.port)
        await wire.send(request(cluster.target(), JSON, f"Content-Length: {len(body)}", method="POST") + body)
        await asyncio.sleep(pause)
        wire.reset()

    async def heard(running: Running, event: DemoEvent) -> int:
        answer = await post(cluster, running, json.dumps(event).encode(), JSON)
        assert answer.status == 200, answer
        return int(answer.json["seq"])

    async with cluster.edge() as running:
        async with asyncio.TaskGroup() as group:
            for number, event in enumerate(QUAKES):
                for pause in (number % 7 / 1000, number % 5 / 100):
                    group.create_task(lost(running, event, pause))
            hearing = [group.create_task(heard(running, event)) for event in QUAKES]
        assert sorted(task.result() for task in hearing) == list(range(1, len(QUAKES) + 1))
        assert sorted(await stored(cluster, running)) == sorted(
            (event["topic"], event["event"], text_of(event)) for event in QUAKES
        )


async def test_two_services_may_use_the_same_ids(cluster: Cluster) -> None:
    quake = QUAKES[0]
    async with cluster.edge() as running:
        body = array([cloudevent(quake, "/usgs"), cloudevent(quake, "/emsc"), cloudevent(quake, "/usgs")])
        found = await results(cluster, running, body, CLOUDEVENTS)
        assert [(one["seq"], one["duplicate"]) for one in found] == [(1, False), (2, False), (1, True)]
        body = array({"topic": topic, "data": 1, "id": "1"} for topic in ("orders", "bills", "orders"))
        found = await results(cluster, running, body, JSON)
        assert [(one["seq"], one["duplicate"]) for one in found] == [(3, False), (4, False), (3, True)]
        hit = (await cluster.api.call(f"STREAM.MSG.GET.SSE_{cluster.tenant}", {"seq": 1}))["message"]
        assert message_id("/usgs", quake["id"]).encode() in base64.b64decode(hit["hdrs"])


async def test_a_tenant_may_require_ids(cluster: Cluster) -> None:
    await cluster.make(cluster.tenant, publish={"idempotency": "required"})
    async with cluster.edge() as running:
        support = "required"
        answer = await post(cluster, running, b'{"topic":"a","data":1}', JSON, support=support)
        assert (answer.status, answer.json["code"]) == (428, "SSE_BAD_REQUEST")
        assert "Idempotency-Key" in answer.json["detail"]
        body = array([{"topic": "a", "data": 1}, {"topic": "a", "data": 2, "id": "1"}])
        answer = await post(cluster, running, body, JSON, support=support)
        assert answer.status == 200
        assert [result.get("seq") for result in answer.json["results"]] == [None, 1]
        body = array([{"topic": "a", "data": 1}] * 2)
        assert (await post(cluster, running, body, JSON, support=support)).status == 428
        for headers, sent in (
            ([JSON, "Idempotency-Key: k"], body),
            ([JSON], b'{"topic":"a","data":1,"id":"2"}'),
            ([CLOUDEVENT], json.dumps(cloudevent(QUAKES[0])).encode()),
        ):
            assert (await post(cluster, running, sent, *headers, support=support)).status == 200
        assert len(await stored(cluster, running)) == 5


@pytest.mark.parametrize("kind", [JSON, NDJSON, CLOUDEVENTS])
async def test_more_events_than_allowed_are_refused_before_any_is_stored(cluster: Cluster, kind: str) -> None:
    events: list[object] = [cloudevent(quake) if kind == CLOUDEVENTS else quake for quake in QUAKES[:4]]
    async with cluster.edge(publish_events=3) as running:
        made = lines if kind == NDJSON else array
        answer = await post(cluster, running, made(events), kind)
        assert answer.status == 413
        assert "more than 3 events" in answer.json["detail"]
        assert not await stored(cluster, running)
        assert len(await results(cluster, running, made(events[:3]), kind)) == 3


async def test_while_nats_is_away_a_batch_is_503_and_its_retry_is_stored_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("slipstream.jetstream.pipeline.SECONDS", 0.5)
    body, kept = array({"topic": "a", "data": number} for number in range(50)), ("Idempotency-Key: k", JSON)
    async with NatsServer(tmp_path) as nats, Cluster.on(nats) as cluster, cluster.edge() as running:
        await nats.kill()
        answer = await post(cluster, running, body, *kept)
        assert (answer.status, answer.json["code"]) == (503, "SSE_UPSTREAM_UNAVAILABLE")
        assert int(answer.headers["retry-after"]) >= 1
        assert len(answer.json["results"]) == 50
        await nats.start()
        assert seqs(await results_in_the_end(cluster, running, body, *kept)) == list(range(1, 51))
        await until(lambda: all(tail.ring.last == 50 for tail in running.services.hub.tails), "the feed is back")
        assert len(await stored(cluster, running)) == 50
