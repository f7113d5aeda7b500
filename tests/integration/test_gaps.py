"""Every loss that a stream tells: the reason, where it goes on, and that exactly the right events follow."""

import asyncio
import itertools
import json
from typing import Any

import pytest

from slipstream.demo import earthquakes, flights
from slipstream.jetstream import stream as streams
from slipstream.protocol.topic import Filters
from tests.integration.cluster import RINGS, Cluster, text_of
from tests.integration.events import gap_of, ids_of, seq, seqs
from tests.integration.wire import Stream, until
from tests.servers import NatsServer

LOOPS = ("uvloop",)

QUAKES = list(itertools.islice(earthquakes(), 200))
FLIGHTS = list(itertools.islice(flights(), 200))


async def resumed(cluster: Cluster, port: int, last_id: str, query: str = "") -> tuple[Stream, dict[str, Any]]:
    """A stream resumed from `last_id` and the gap it tells first; ready and gap agree on where it goes on."""
    stream = await cluster.stream(port, query, f"Last-Event-ID: {last_id}")
    assert stream.head.status == 200
    ready, gap = await stream.take(2)
    assert ready.event == "stream.ready"
    assert ready.id == gap.id
    assert len(stream.blocks) == 1, "retry, ready and gap come at once"
    document = gap_of(gap)
    assert document["requested"] == last_id
    return stream, document


@RINGS
@pytest.mark.parametrize(
    ("place", "reason", "code", "first"),
    [
        ("abcdefgh-5", "reset", "SSE_STREAM_RESET", 1),
        ("abcdefgh-5-{mark3}", "reset", "SSE_STREAM_RESET", 4),
        ("abcdefgh-5000-{mark3}.some-key", "reset", "SSE_STREAM_RESET", 4),
        ("{epoch}-9", "ahead", "SSE_CURSOR_AHEAD", 1),
        ("{epoch}-18446744073709551615-{mark6}", "ahead", "SSE_CURSOR_AHEAD", 7),
        ("{epoch}-4-{mark3}", "rewritten", "SSE_STREAM_RESET", 4),
        ("{epoch}-8-{mark6}", "rewritten", "SSE_STREAM_RESET", 7),
    ],
)
async def test_a_past_that_is_another_one(
    cluster: Cluster, ring: dict[str, Any], place: str, reason: str, code: str, first: int
) -> None:
    async with cluster.edge(**ring) as running:
        port = running.server.port
        for event in QUAKES[:8]:
            await cluster.publish(running, [event])
            # So that no two are stored in the same millisecond.
            await asyncio.sleep(0.003)
        ids = await ids_of(cluster, port, 8)
        epoch, _, mark3 = ids[2].split("-")
        last_id = place.format(epoch=epoch, mark3=mark3, mark6=ids[5].split("-")[2])
        stream, gap = await resumed(cluster, port, last_id)
        assert (gap["reason"], gap["code"], gap["certain"]) == (reason, code, False)
        events = await stream.take(9 - first)
        assert seqs(events) == list(range(first, 9))
        assert [event.data for event in events] == [text_of(event) for event in QUAKES[first - 1 : 8]]


async def test_an_id_of_another_tenant_is_one_of_another_log(cluster: Cluster) -> None:
    async with cluster.edge() as running:
        port = running.server.port
        await cluster.publish(running, QUAKES[:3])
        (mine, *_) = await ids_of(cluster, port, 3)
        async with Cluster.on(cluster.nats) as other:
            await until(lambda: running.services.registry.get(other.tenant) is not None, "the tenant is known")
            await other.publish(running, FLIGHTS[:3])
            stream, gap = await resumed(other, port, mine)
            assert (gap["reason"], gap["certain"]) == ("reset", False)
            assert [event.data for event in await stream.take(3)] == [text_of(event) for event in FLIGHTS[:3]]


@pytest.mark.parametrize("ring", [{"ring_events": 2}, {"warm": False}], ids=["beyond-ring", "before-feed"])
async def test_what_retention_took_is_told_and_the_rest_comes(nats: NatsServer, ring: dict[str, Any]) -> None:
    async with Cluster.on(nats, max_bytes=32 * 1024) as cluster, cluster.edge(**ring) as running:
        port = running.server.port
        await cluster.publish(running, QUAKES[:3])
        ids = await ids_of(cluster, port, 3)
        await cluster.publish(running, QUAKES[3:120])
        state = (await streams.find(cluster.api, cluster.tenant)).state
        assert 4 < state.first_seq < 100
        rest = list(range(state.first_seq, 121))
        stream, gap = await resumed(cluster, port, ids[0])
        assert (gap["reason"], gap["code"]) == ("expired", "SSE_HISTORY_EXPIRED")
        events = await stream.take(len(rest))
        assert seqs(events) == rest
        assert [event.data for event in events] == [text_of(QUAKES[number - 1]) for number in rest]

        # Just before the first retained nothing is missing.
        edge = await cluster.stream(port, "", f"Last-Event-ID: {ids[0].split('-')[0]}-{state.first_seq - 1}")
        ready, first = await edge.take(2)
        assert (ready.event, seq(first)) == ("stream.ready", state.first_seq)


async def test_a_reader_that_retention_overtakes_is_told_on_its_open_stream(nats: NatsServer) -> None:
    async with Cluster.on(nats, max_bytes=64 * 1024) as cluster, cluster.edge(ring_events=2) as running:
        port = running.server.port
        slow = await cluster.opened(port, rcvbuf=4096)
        await cluster.publish(running, QUAKES * 5)
        events = await slow.take()
        while seq(events[-1]) < 1000:
            events += await slow.take()
        gaps = [event for event in events if event.event == "stream.gap"]
        assert gaps
        assert {gap_of(event)["reason"] for event in gaps} == {"expired"}
        assert all(gap_of(event)["certain"] for event in gaps)
        place = 0
        for event in events:
            if event.event == "stream.gap":
                assert seq(event) > place
            else:
                assert seq(event) == place + 1, "a loss that was not told"
                assert event.data == text_of(QUAKES[place % 200])
            place = seq(event)


@pytest.mark.parametrize("ring", [5, 20])
async def test_a_replay_over_the_quota_is_cut_to_its_newest_events(cluster: Cluster, ring: int) -> None:
    mixed = [event for pair in zip(QUAKES[:40], FLIGHTS[:40], strict=True) for event in pair]
    async with cluster.edge(ring_events=ring, replay_events=7) as running:
        port = running.server.port
        await cluster.publish(running, mixed)
        epoch = (await streams.find(cluster.api, cluster.tenant)).state.epoch
        quakes = list(range(1, 81, 2))
        stream, gap = await resumed(cluster, port, f"{epoch}-3", "topic=quakes.>")
        assert (gap["reason"], gap["code"], gap["certain"]) == ("limited", "SSE_REPLAY_LIMITED", True)
        assert seqs(await stream.take(7)) == quakes[-7:]
        earliest = await cluster.stream(port, "since=earliest&topic=quakes.>")
        ready, told, *events = await earliest.take(9)
        assert (gap_of(told)["reason"], told.id) == ("limited", ready.id)
        assert seqs(events) == quakes[-7:]

        # Only what matches counts, whatever lies beside it.
        for topics, over in ((("quakes.uw.minor", "flights.HNL.SFO"), False), (("quakes.nc.*", "quakes.ci.*"), True)):
            wanted = Filters.parse(topics)
            matching = [number for number, event in enumerate(mixed, 1) if wanted.matches(event["topic"])]
            assert (len(matching) > 7) is over
            several = await cluster.stream(port, f"since=earliest&topic={topics[0]}&topic={topics[1]}")
            await several.one("stream.ready")
            if over:
                assert gap_of(await several.one("stream.gap"))["reason"] == "limited"
            assert seqs(await several.take(min(len(matching), 7))) == matching[-7:]

        # Inside the quota nothing is cut.
        whole = await cluster.stream(port, "topic=quakes.>", f"Last-Event-ID: {epoch}-{quakes[-7] - 1}")
        ready, *events = await whole.take(8)
        assert (ready.event, seqs(events)) == ("stream.ready", quakes[-7:])


@RINGS
@pytest.mark.parametrize(
    ("data", "headers"),
    [
        (b"caf\xe9", {}),
        (b"{}", {"Sse-Event": "error"}),
        (b"{}", {"Sse-Event": "stream.ready"}),
        (b"{}", {"Sse-Event": "a\x7fb"}),
        (b"x" * 2001, {}),
    ],
)
async def test_what_cannot_be_delivered_is_told_in_its_place(
    cluster: Cluster, ring: dict[str, Any], data: bytes, headers: dict[str, str]
) -> None:
    async with cluster.edge(event_bytes=2000, **ring) as running:
        port = running.server.port
        live = await cluster.opened(port)
        elsewhere = await cluster.opened(port, "topic=good.*")
        await cluster.put("good.one", b"before")
        bad = await cluster.put("bad.one", data, headers)
        await cluster.put("good.one", b"after")
        replayed = await cluster.opened(port, "since=earliest")
        ids = set()
        for stream in (live, replayed):
            before, told, after = await stream.take(3)
            ids.add(told.id)
            assert (before.data, after.data) == ("before", "after")
            gap = gap_of(told)
            assert (gap["reason"], gap["code"], gap["requested"]) == ("undeliverable", "SSE_UNDELIVERABLE", None)
            assert gap["certain"]
            assert seq(told) == bad
        assert [event.data for event in await elsewhere.take(2)] == ["before", "after"]
        (place,) = ids
        again = await cluster.stream(port, "", f"Last-Event-ID: {place}")
        ready, after = await again.take(2)
        assert (ready.id, after.data) == (place, "after")


@RINGS
async def test_a_larger_event_is_allowed_for_those_who_read_already(cluster: Cluster, ring: dict[str, Any]) -> None:
    small, large = 100, 20_000
    batch = json.dumps(FLIGHTS[:20])
    assert small < len(batch) < large
    await cluster.apply(event_bytes=small)
    async with cluster.edge(**ring) as running:
        port = running.server.port
        live = await cluster.opened(port)
        await cluster.put("flights.batch", batch.encode())
        (gap,) = await live.take()
        assert gap_of(gap)["reason"] == "undeliverable"
        tenant = await cluster.apply(event_bytes=large)
        await until(lambda: running.services.registry.get(tenant.name) == tenant, "the edge knows the limit")
        await cluster.put("flights.batch", batch.encode())
        assert [event.data for event in await live.take()] == [batch]
        again = await cluster.stream(port, "", f"Last-Event-ID: {gap.id}")
        assert [event.data for event in await again.take(2)][1] == batch


async def test_a_stream_that_is_made_anew_is_told_to_those_who_are_on_it(cluster: Cluster) -> None:
    async with cluster.edge() as running:
        port = running.server.port
        await cluster.publish(running, QUAKES[:5])
        ids = await ids_of(cluster, port, 5)
        live = await cluster.opened(port)
        await streams.remove(cluster.api, cluster.tenant)
        await cluster.make(cluster.tenant)
        await cluster.put("after", b"1")
        told, event = await live.take(2)
        gap = gap_of(told)
        assert (gap["reason"], gap["requested"]) == ("reset", ids[-1])
        assert event.data == "1"
        assert event.id.split("-")[0] != ids[0].split("-")[0]
        await cluster.put("after", b"2")
        assert [event.data for event in await live.take()] == ["2"]
