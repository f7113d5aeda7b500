"""POST /v1/events and GET /v1/poll: what goes in comes out, byte for byte and in order, by stream and by page."""

import asyncio
import base64
import itertools
import json
import re
from typing import Any

import pytest

from slipstream.app import Running
from slipstream.demo import DemoEvent, earthquakes
from slipstream.jetstream import stream as streams
from slipstream.protocol.message_id import message_id
from tests.integration.answers import JSON, problem
from tests.integration.cluster import RINGS, Cluster, text_of
from tests.integration.events import ids_of, seq, seqs
from tests.integration.wire import call, until

LOOPS = ("uvloop",)

QUAKES = list(itertools.islice(earthquakes(), 300))


async def post(cluster: Cluster, running: Running, *headers: str, **event: object) -> Any:
    """Publish one event and return the answer's document."""
    body = json.dumps(event).encode()
    answer = await call(running.server.port, cluster.target(), JSON, *headers, method="POST", body=body)
    assert answer.status == 200, answer
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    return answer.json


async def poll(cluster: Cluster, running: Running, query: str = "", *headers: str) -> Any:
    """One page."""
    answer = await call(running.server.port, cluster.target(query, "/v1/poll"), *headers)
    assert answer.status == 200, answer
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    document = answer.json
    assert document.keys() == {"events", "cursor", "more", "gap"}
    return document


def numbers(page: Any) -> list[int]:
    return [int(event["id"].split("-")[1]) for event in page["events"]]


async def test_the_answer_says_where_the_event_lies(cluster: Cluster) -> None:
    async with cluster.edge() as running:
        epoch = (await streams.find(cluster.api, cluster.tenant)).state.epoch
        for number, event in enumerate(QUAKES[:3], 1):
            answer = await post(cluster, running, topic=event["topic"], event=event["event"], data=event["data"])
            assert answer == {"position": f"{epoch}-{number}", "seq": number, "duplicate": False}
        # A publisher can read on from its own event.
        stream = await cluster.opened(running.server.port, f"last_event_id={epoch}-2")
        assert seqs(await stream.take()) == [3]


@pytest.mark.parametrize("by", ["field", "header", "both"])
async def test_an_id_makes_a_retry_the_same_event(cluster: Cluster, by: str) -> None:
    fields = {} if by == "header" else {"id": "order 7"}
    headers = [] if by == "field" else ["Idempotency-Key: order 7"]
    async with cluster.edge() as running:
        first = await post(cluster, running, *headers, topic="orders.new", data=1, **fields)
        again = await post(cluster, running, *headers, topic="orders.new", data=1, **fields)
        assert again == {**first, "duplicate": True}
        assert await post(cluster, running, topic="orders.new", data=1) == {
            "position": f"{first['position'].split('-')[0]}-2",
            "seq": 2,
            "duplicate": False,
        }
        # The scope of an id is its topic.
        other = await post(cluster, running, *headers, topic="orders.old", data=1, **fields)
        assert not other["duplicate"]
        assert numbers(await poll(cluster, running, "since=earliest")) == [1, 2, 3]
        stored = await cluster.api.call(f"STREAM.MSG.GET.SSE_{cluster.tenant}", {"seq": 1})
        assert message_id("orders.new", "order 7") in headers_of(stored)


def headers_of(stored: dict[str, Any]) -> str:
    return base64.b64decode(stored["message"]["hdrs"]).decode()


async def test_many_who_publish_the_same_at_once_store_it_once(cluster: Cluster) -> None:
    async with cluster.edge() as running:
        answers = await asyncio.gather(*(post(cluster, running, topic="t", data="x", id="1") for _ in range(20)))
        assert sorted(answer["duplicate"] for answer in answers) == [False] + [True] * 19
        assert {answer["seq"] for answer in answers} == {1}


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ("as it is", "as it is"),
        ("", ""),
        ('{"already": "JSON"}', '{"already": "JSON"}'),
        ("lines\nof\n\ntext\n", "lines\nof\n\ntext\n"),
        ("CR\rLF\nCRLF\r\nend", "CR\nLF\nCRLF\nend"),
        ("  spaces  ", "  spaces  "),
        (":colon", ":colon"),
        ("\ufeffBOM, NEL \x85, LS \u2028, VT \x0b", "\ufeffBOM, NEL \x85, LS \u2028, VT \x0b"),
        ("zażółć 地震 🌋", "zażółć 地震 🌋"),
        ({"a": [1, 2.5, None, True], "ü": "ö"}, '{"a":[1,2.5,null,true],"\\u00fc":"\\u00f6"}'),
        ([], "[]"),
        (None, "null"),
        (0, "0"),
        (18446744073709551615, "18446744073709551615"),
        ("x" * 250_000, "x" * 250_000),
    ],
)
async def test_data_arrives_as_it_was_sent(cluster: Cluster, data: object, text: str) -> None:
    async with cluster.edge() as running:
        stream = await cluster.opened(running.server.port)
        await post(cluster, running, topic="t", event="n a m é", data=data)
        (event,) = await stream.take()
        assert (event.event, event.data) == ("n a m é", text)
        (polled,) = (await poll(cluster, running, "since=earliest"))["events"]
        assert polled["event"] == "n a m é"
        assert polled["data"] == (data if isinstance(data, str) else text)
        assert polled["id"] == event.id


async def test_the_publishers_trace_and_key_travel_with_the_event(cluster: Cluster) -> None:
    trace = "0123456789abcdef0123456789abcdef"
    async with cluster.edge() as running:
        await post(cluster, running, f"traceparent: 00-{trace}-0123456789abcdef-01", topic="t", data=1, key="order 42")
        stored = headers_of(await cluster.api.call(f"STREAM.MSG.GET.SSE_{cluster.tenant}", {"seq": 1}))
        assert re.search(rf"^traceparent: 00-{trace}-[0-9a-f]{{16}}-01\r$", stored, re.MULTILINE)
        assert re.search(r"^Sse-Key: order 42\r$", stored, re.MULTILINE)


async def test_a_publish_to_a_tenant_without_a_stream(cluster: Cluster) -> None:
    async with cluster.edge(warm=False) as running:
        await streams.remove(cluster.api, cluster.tenant)
        answer = await call(running.server.port, cluster.target(), JSON, method="POST", body=b'{"topic":"t","data":1}')
        problem(answer, 503, "UPSTREAM_UNAVAILABLE")


def is_what_was_sent(events: list[Any], sent: list[DemoEvent]) -> None:
    assert [(e["topic"], e["event"], e["data"]) for e in events] == [(s["topic"], s["event"], text_of(s)) for s in sent]
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", event["time"]) for event in events)


@RINGS
async def test_pages_follow_one_another_without_a_seam(cluster: Cluster, ring: dict[str, Any]) -> None:
    async with cluster.edge(**ring) as running:
        await cluster.publish(running, QUAKES)
        events: list[Any] = []
        page = await poll(cluster, running, "since=earliest&limit=7")
        while True:
            assert page["gap"] is None
            events += page["events"]
            assert page["more"] is (len(events) < 300)
            assert len(page["events"]) == 7 or not page["more"]
            assert page["cursor"] == events[-1]["id"]
            if not page["more"]:
                break
            page = await poll(cluster, running, "limit=7", f"Last-Event-ID: {page['cursor']}")
        is_what_was_sent(events, QUAKES)
        assert numbers({"events": events}) == list(range(1, 301))
        after = await poll(cluster, running, f"last_event_id={page['cursor']}")
        assert after == {"events": [], "cursor": page["cursor"], "more": False, "gap": None}


@RINGS
async def test_a_filtered_poll_passes_over_what_it_does_not_want(cluster: Cluster, ring: dict[str, Any]) -> None:
    topics = ("quakes.nc.minor", "quakes.us.light")
    wanted = [number for number, event in enumerate(QUAKES, 1) if event["topic"] in topics]
    query = f"topic={topics[0]}&topic={topics[1]}&limit=10"
    async with cluster.edge(**ring) as running:
        await cluster.publish(running, QUAKES)
        found: list[int] = []
        page = await poll(cluster, running, f"since=earliest&{query}")
        found += numbers(page)
        while page["more"]:
            page = await poll(cluster, running, query, f"Last-Event-ID: {page['cursor']}")
            found += numbers(page)
        assert found == wanted
        # The cursor has passed what was not wanted, so that it does not grow old.
        assert page["cursor"].split("-")[1] == "300"


async def test_a_long_poll_wakes_at_the_first_event(cluster: Cluster) -> None:
    async with cluster.edge() as running:
        cursor = (await poll(cluster, running))["cursor"]
        waiting = [
            asyncio.create_task(poll(cluster, running, f"wait=30&last_event_id={cursor}{topic}"))
            for topic in ("", "&topic=quakes.>", "&topic=nothing")
        ]
        (tail,) = running.services.hub.tails
        await until(lambda: len(tail._waiters) == 3, "all three wait")
        assert not any(task.done() for task in waiting)
        await cluster.publish(running, QUAKES[:1])
        for task in waiting[:2]:
            page = await asyncio.wait_for(task, 5)
            is_what_was_sent(page["events"], QUAKES[:1])
        assert not waiting[2].done()
        waiting[2].cancel()
        await asyncio.gather(waiting[2], return_exceptions=True)
        await until(lambda: not tail._waiters, "nobody waits for a client that has left")


async def test_a_long_poll_ends_with_its_time(cluster: Cluster) -> None:
    async with cluster.edge() as running:
        await cluster.publish(running, QUAKES[:2])
        page = await poll(cluster, running, "wait=0.1")
        assert page["events"] == []
        assert page["cursor"] == (await ids_of(cluster, running.server.port, 2))[-1]


@RINGS
async def test_poll_and_stream_take_each_others_places(cluster: Cluster, ring: dict[str, Any]) -> None:
    async with cluster.edge(**ring) as running:
        await cluster.publish(running, QUAKES[:30])
        page = await poll(cluster, running, "since=earliest&limit=10")
        stream = await cluster.opened(running.server.port, "", f"Last-Event-ID: {page['cursor']}")
        events = await stream.take(10)
        assert seqs(events) == list(range(11, 21))
        page = await poll(cluster, running, "", f"Last-Event-ID: {events[-1].id}")
        assert numbers(page) == list(range(seq(events[-1]) + 1, 31))
        rest = await poll(cluster, running, f"last_event_id={page['events'][0]['id']}")
        assert rest["events"] == page["events"][1:]


@RINGS
async def test_a_poll_tells_what_is_missing(cluster: Cluster, ring: dict[str, Any]) -> None:
    async with cluster.edge(replay_events=5, **ring) as running:
        await cluster.publish(running, QUAKES[:4])
        page = await poll(cluster, running, "last_event_id=abcdefgh-7")
        assert numbers(page) == [1, 2, 3, 4]
        gap = page["gap"]
        assert gap.pop("from") == f"{page['cursor'].split('-')[0]}-0"
        assert gap == {
            "reason": "reset",
            "code": "SSE_STREAM_RESET",
            "requested": "abcdefgh-7",
            "certain": False,
            "trace_id": None,
        }
        await cluster.publish(running, QUAKES[4:20])
        if "ring_events" in ring:
            page = await poll(cluster, running, "since=earliest")
            assert page["gap"]["reason"] == "limited"
            assert numbers(page) == [16, 17, 18, 19, 20]


@RINGS
async def test_last_by_poll_is_the_newest_of_each_topic(cluster: Cluster, ring: dict[str, Any]) -> None:
    async with cluster.edge(**ring) as running:
        await cluster.publish(running, QUAKES)
        newest = {event["topic"]: number for number, event in enumerate(QUAKES, 1)}
        page = await poll(cluster, running, "since=last")
        assert numbers(page) == sorted(newest.values())
        assert not page["more"]
        is_what_was_sent(page["events"], [QUAKES[number - 1] for number in sorted(newest.values())])
        few = await poll(cluster, running, "since=last&limit=2&topic=quakes.nc.*")
        wanted = sorted(number for topic, number in newest.items() if topic.startswith("quakes.nc."))
        assert numbers(few) == wanted[:2]


@RINGS
async def test_a_poll_tells_what_cannot_be_delivered_in_its_place(cluster: Cluster, ring: dict[str, Any]) -> None:
    async with cluster.edge(**ring) as running:
        await cluster.put("good", b"1")
        await cluster.put("bad", b"\xff")
        await cluster.put("bad", b"{}", {"Sse-Event": "open"})
        await cluster.put("good", b"2")
        told: list[object] = []
        page = await poll(cluster, running, "since=earliest")
        while True:
            told += [page["gap"]["from"].split("-")[1]] if page["gap"] else []
            if page["gap"]:
                assert page["gap"]["reason"] == "undeliverable"
            told += [event["data"] for event in page["events"]]
            if not page["more"]:
                break
            page = await poll(cluster, running, f"last_event_id={page['cursor']}")
        assert told == ["1", "2", "3", "2"]
        page = await poll(cluster, running, "since=last")
        assert (page["events"], page["gap"]["reason"], page["gap"]["from"]) == ([], "undeliverable", page["cursor"])
        page = await poll(cluster, running, f"last_event_id={page['cursor']}")
        assert [event["data"] for event in page["events"]] == ["2"]
        quiet = await poll(cluster, running, "since=earliest&topic=good")
        assert ([event["data"] for event in quiet["events"]], quiet["gap"]) == (["1", "2"], None)
