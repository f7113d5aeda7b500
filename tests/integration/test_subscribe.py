"""GET /v1/events: where a stream begins, what it says first, and what it says when there is nothing to say."""

import asyncio
import itertools
import json
import random
import re
import urllib.parse
from typing import Any

import pytest

from slipstream.demo import earthquakes, flights
from slipstream.jetstream.bucket import Bucket
from slipstream.protocol.topic import Filters
from tests.integration.cluster import RINGS, Cluster, text_of
from tests.integration.events import ids_of, large, seq, seqs
from tests.integration.wire import call

LOOPS = ("uvloop",)

QUAKES = list(itertools.islice(earthquakes(), 200))
FLIGHTS = list(itertools.islice(flights(), 200))
MIXED = [event for pair in zip(QUAKES, FLIGHTS, strict=True) for event in pair]


async def test_the_first_bytes_are_retry_and_ready_at_once(cluster: Cluster) -> None:
    async with cluster.edge(heartbeat=7, retry_ms=2000) as running:
        await cluster.publish(running, QUAKES[:3])
        stream = await cluster.stream(running.server.port, "topic=quakes.>&topic=flights.ABQ.*&since=earliest")
        events = await stream.take(4)
        first = re.fullmatch(
            rb"retry: (\d+)\n\nid: ([a-z0-9]{8})-0\nevent: stream.ready\ndata: (\{.*\})\n\n", stream.blocks[0]
        )
        assert first
        assert 2000 <= int(first[1]) <= 3000
        document = json.loads(first[3])
        assert document.pop("stream").startswith(f"{running.services.process}.")
        assert document == {
            "tenant": cluster.tenant,
            "topics": ["flights.ABQ.*", "quakes.>"],
            "heartbeat_ms": 7000,
            "expires_at": None,
        }
        epoch = first[2].decode()
        for number, (event, sent) in enumerate(zip(events[1:], QUAKES, strict=False), 1):
            assert re.fullmatch(rf"{epoch}-{number}-[0-9a-z]{{1,7}}", event.id)
            assert (event.event, event.data) == (sent["event"], text_of(sent))


async def test_the_headers_are_those_of_the_contract(cluster: Cluster) -> None:
    trace = "0123456789abcdef0123456789abcdef"
    async with cluster.edge() as running:
        given = f"traceparent: 00-{trace}-0123456789abcdef-01"
        stream = await cluster.stream(running.server.port, "", given, "Origin: https://app.example")
        headers = stream.head.headers
        assert headers.pop("date").endswith(" GMT")
        continued = re.fullmatch(rf"00-{trace}-([0-9a-f]{{16}})-01", headers.pop("traceparent"))
        assert continued
        assert continued[1] != "0123456789abcdef"
        assert headers == {
            "connection": "close",
            "transfer-encoding": "chunked",
            "content-type": "text/event-stream; charset=utf-8",
            "cache-control": "no-store, no-transform",
            "x-accel-buffering": "no",
            "vary": "Accept-Encoding, Origin",
            "x-retry-policy": "max-jitter=1500ms, backoff=exponential, idempotency-aware=false, max-attempts=5,"
            " retryable=(408 429 5xx)",
            "x-retry-backoff-base": "3000",
            "x-content-type-options": "nosniff",
            "access-control-allow-origin": "*",
            "access-control-expose-headers": (
                "Retry-After, Idempotency-Support, traceparent, X-Retry-Policy, X-Retry-Backoff-Base"
            ),
        }
        zero = await cluster.stream(running.server.port, "", f"traceparent: 00-{'0' * 32}-0123456789abcdef-01")
        begun = re.fullmatch(r"00-([0-9a-f]{32})-[0-9a-f]{16}-00", zero.head.headers["traceparent"])
        assert begun
        assert begun[1] != "0" * 32


async def test_now_begins_at_the_head(cluster: Cluster) -> None:
    async with cluster.edge() as running:
        await cluster.publish(running, QUAKES[:3])
        head = (await ids_of(cluster, running.server.port, 3))[-1]
        for query in ("", "since=now", "since=", "last_event_id="):
            stream = await cluster.stream(running.server.port, query, "Last-Event-ID:")
            assert (await stream.one("stream.ready")).id == head
            stored = await cluster.publish(running, QUAKES[3:4])
            (event,) = await stream.take()
            assert (seq(event), event.data) == (stored[0].seq, text_of(QUAKES[3]))
            head = event.id
            stream.wire.close()


@RINGS
async def test_a_time_begins_with_the_first_event_at_or_after_it(cluster: Cluster, ring: dict[str, Any]) -> None:
    async with cluster.edge(**ring) as running:
        for event in QUAKES[:8]:
            await cluster.publish(running, [event])
            await asyncio.sleep(0.003)
        polled = (await call(running.server.port, cluster.target("since=earliest", "/v1/poll"))).json["events"]
        zulu = polled[4]["time"]
        plus = zulu.replace("Z", "+00:00")
        for text in (zulu, plus, urllib.parse.quote(plus), plus.replace("+", "%20"), zulu.lower()):
            stream = await cluster.stream(running.server.port, f"since={text}")
            ready, *events = await stream.take(5)
            assert (seq(ready), seqs(events)) == (4, [5, 6, 7, 8]), text
            stream.wire.close()
        early = await cluster.opened(running.server.port, "since=1970-01-01T00:00:00Z")
        assert seqs(await early.take(8)) == list(range(1, 9))
        late = await cluster.stream(running.server.port, "since=2999-01-01T00:00:00Z")
        assert seq(await late.one("stream.ready")) == 8


@RINGS
@pytest.mark.parametrize("pattern", ["nothing", "quakes.*.light", ">"])
async def test_last_is_the_last_event_of_each_topic_and_then_live(
    cluster: Cluster, ring: dict[str, Any], pattern: str
) -> None:
    wanted = Filters.parse([pattern])
    newest = {event["topic"]: number for number, event in enumerate(QUAKES, 1)}
    expected = sorted(number for topic, number in newest.items() if wanted.matches(topic))
    assert len(expected) < len(QUAKES)
    async with cluster.edge(**ring) as running:
        await cluster.publish(running, QUAKES)
        stream = await cluster.stream(running.server.port, f"since=last&topic={pattern}")
        ready, *events = await stream.take(1 + len(expected))
        assert seq(ready) == (expected[0] - 1 if expected else len(QUAKES))
        assert seqs(events) == expected
        assert [event.data for event in events] == [text_of(QUAKES[number - 1]) for number in expected]
        topic = pattern.replace("*", "any").replace(">", "any")
        number = await cluster.put(topic, b"live")
        assert seqs(await stream.take()) == [number]


async def test_last_reaches_a_slow_reader_whole(cluster: Cluster) -> None:
    events = [(f"part.{number}", data) for number, (_, data) in enumerate(large(80))]
    async with cluster.edge(write_deadline=60) as running:
        for topic, data in events + events[:3]:
            await cluster.put(topic, data)
        stream = await cluster.opened(running.server.port, "since=last", rcvbuf=4096)
        await asyncio.sleep(0.2)
        received = await stream.take(80)
        assert [event.data.encode() for event in received] == [data for _, data in events[3:] + events[:3]]


async def test_last_of_filters_that_overlap(cluster: Cluster) -> None:
    async with cluster.edge() as running:
        for topic in ("a.x", "x.b", "a.b", "x.x"):
            await cluster.put(topic, topic.encode())
        stream = await cluster.opened(running.server.port, "since=last&topic=a.*&topic=*.b")
        assert [event.data for event in await stream.take(3)] == ["a.x", "x.b", "a.b"]


@RINGS
async def test_an_id_continues_after_its_event_wherever_it_is_given(cluster: Cluster, ring: dict[str, Any]) -> None:
    async with cluster.edge(**ring) as running:
        port = running.server.port
        await cluster.publish(running, QUAKES[:10])
        ids = await ids_of(cluster, port, 10)
        for query, headers, after in (
            ("", [f"Last-Event-ID: {ids[3]}"], 4),
            (f"last_event_id={ids[3]}", [], 4),
            (f"last_event_id={ids[3]}", ["Last-Event-ID:"], 4),
            (f"last_event_id={ids[7]}&since=earliest", [f"Last-Event-ID: {ids[3]}"], 4),
            (f"last_event_id={ids[3]}&since=earliest", [], 4),
            ("since=earliest", ["Last-Event-ID:"], 0),
            ("", [f"Last-Event-ID: {ids[9]}"], 10),
            ("", [f"Last-Event-ID: {ids[0].split('-')[0]}-0"], 0),
            ("", [f"Last-Event-ID: {'-'.join(ids[5].split('-')[:2])}"], 6),
            ("", [f"Last-Event-ID: {ids[5]}.order-42"], 6),
        ):
            stream = await cluster.stream(port, query, *headers)
            ready, *events = await stream.take(11 - after)
            assert (ready.event, seq(ready)) == ("stream.ready", after), query
            assert ready.id in (*ids, f"{ids[0].split('-')[0]}-{after}")
            assert seqs(events) == list(range(after + 1, 11))
            stream.wire.close()


@RINGS
async def test_an_event_that_two_topics_match_is_sent_once(cluster: Cluster, ring: dict[str, Any]) -> None:
    topics = ("quakes.*.light", "quakes.uw.>", "flights.>", "flights.ABQ.*", QUAKES[0]["topic"])
    wanted = Filters.parse(topics)
    query = "&".join(f"topic={topic}" for topic in topics)
    async with cluster.edge(**ring) as running:
        await cluster.publish(running, MIXED[:150])
        stream = await cluster.opened(running.server.port, f"since=earliest&{query}")
        await cluster.publish(running, MIXED[150:])
        expected = [number for number, event in enumerate(MIXED, 1) if wanted.matches(event["topic"])]
        assert len(expected) < len(MIXED)
        events = await stream.take(len(expected))
        assert seqs(events) == expected
        assert [event.data for event in events] == [text_of(MIXED[number - 1]) for number in expected]


async def test_replay_and_live_join_without_a_seam_while_publishing_goes_on(cluster: Cluster) -> None:
    dice = random.Random(3)
    choices = ((), ("quakes.>",), ("flights.*.*", "quakes.nc.>"), ("quakes.*.light",), (MIXED[0]["topic"],))
    async with cluster.edge(ring_events=5) as running:
        port = running.server.port
        await cluster.publish(running, MIXED[:200])
        ids = await ids_of(cluster, port, 200)
        publishing = asyncio.create_task(cluster.publish(running, MIXED[200:]))

        async def read(topics: tuple[str, ...], after: int) -> None:
            wanted = Filters.parse(topics)
            query = "&".join(f"topic={topic}" for topic in topics)
            stream = await cluster.opened(port, query, f"Last-Event-ID: {ids[after - 1]}", rcvbuf=16384)
            expected = [n for n, event in enumerate(MIXED, 1) if n > after and wanted.matches(event["topic"])]
            events = await stream.take(len(expected))
            assert seqs(events) == expected
            assert [event.data for event in events] == [text_of(MIXED[number - 1]) for number in expected]

        readers = []
        for topics in choices * 4:
            readers.append(asyncio.create_task(read(topics, dice.randrange(1, 190))))
            await asyncio.sleep(0.005)
        await asyncio.gather(publishing, *readers)
        (tail,) = running.services.hub.tails
        assert len(tail.ring) <= 5


async def test_a_quiet_stream_is_kept_alive_by_comments_or_by_events(cluster: Cluster) -> None:
    async with cluster.edge(heartbeat=0.2) as running:
        quiet = await cluster.opened(running.server.port)
        await quiet.comments(2)
        asked = await cluster.opened(running.server.port, "heartbeat=event")
        for _ in range(2):
            beat = await asked.one("stream.heartbeat")
            assert beat.id == asked.parser.last_id
            assert json.loads(beat.data).keys() == {"time_ms"}
        assert not asked.parser.comments


async def test_a_checkpoint_moves_the_id_of_a_stream_whose_topics_are_quiet(cluster: Cluster) -> None:
    async with cluster.edge(heartbeat=0.2) as running:
        stream = await cluster.opened(running.server.port, "topic=quiet")
        stored = await cluster.publish(running, QUAKES[:5])
        point = await stream.one("stream.checkpoint")
        assert (seq(point), point.data) == (stored[-1].seq, "{}")
        assert point.id == (await ids_of(cluster, running.server.port, 5))[-1]
        comments = len(stream.parser.comments)
        await stream.comments(comments + 1)
        again = await cluster.stream(running.server.port, "topic=quiet", f"Last-Event-ID: {point.id}")
        assert (await again.one("stream.ready")).id == point.id
        await cluster.put("quiet", b"not any more")
        assert (await again.take())[0].data == (await stream.take())[0].data == "not any more"


@RINGS
async def test_a_checkpoint_comes_too_when_the_log_moved_on_before_the_client_came(
    cluster: Cluster, ring: dict[str, Any]
) -> None:
    """Without it the client's id grows old although it has missed nothing, and its next resume is told a loss."""
    async with cluster.edge(heartbeat=0.2, **ring) as running:
        await cluster.publish(running, QUAKES[:5])
        ids = await ids_of(cluster, running.server.port, 5)
        stream = await cluster.opened(running.server.port, "topic=quiet", f"Last-Event-ID: {ids[1]}")
        assert (await stream.one("stream.checkpoint")).id == ids[4]


async def test_a_tenant_that_is_removed_ends_its_streams(cluster: Cluster) -> None:
    async with cluster.edge() as running:
        streams = [await cluster.opened(running.server.port, version=version) for version in ("1.0", "1.1")]
        await Bucket(cluster.api).delete(cluster.tenant)
        for stream in streams:
            (error,) = await stream.end()
            assert error.event == "error"
            document = json.loads(error.data)
            assert (document["code"], document["retry"]) == ("SSE_NOT_FOUND", False)
            assert stream.ended
        assert (await call(running.server.port, cluster.target())).status == 404
