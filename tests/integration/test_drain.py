"""An edge that goes: it is not ready, goes on serving, then sends every stream away, and none loses anything."""

import asyncio
import itertools
import json
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from slipstream.app import Running, drain
from slipstream.app.drain import Pace
from slipstream.demo import flights
from slipstream.fanout.connection import Ending
from tests.integration.answers import JSON
from tests.integration.cluster import Cluster, text_of
from tests.integration.wire import Answer, Stream, call, request, until
from tests.servers import Edge, NatsServer

LOOPS = ("uvloop",)

FLIGHTS = list(itertools.islice(flights(), 60))


@asynccontextmanager
async def going(running: Running, pace: Pace) -> AsyncIterator[asyncio.Event]:
    """The edge is told to go; what is given makes it hurry. Waits until it has gone."""
    hurry = asyncio.Event()
    task = asyncio.create_task(drain(running.services, running.server, pace, hurry), name="drain")
    try:
        yield hurry
        async with asyncio.timeout(15):
            await task
    finally:
        task.cancel()


async def farewell(stream: Stream) -> tuple[list[str], int]:
    """The data of all events until the end, which must be a drain, and after how many ms to come back."""
    *events, last = await stream.end()
    assert last.event == "stream.drain", last
    assert stream.ended, "a clean end"
    wait = json.loads(last.data)["retry_ms"]
    assert wait == stream.parser.retry
    stream.wire.close()
    return [event.data for event in events if not event.event.startswith("stream.")], int(wait)


async def readiness(running: Running) -> int:
    return (await call(running.server.admin_port, "/readyz")).status


async def test_every_stream_is_told_when_to_come_back_and_ended(cluster: Cluster) -> None:
    async with cluster.edge(retry_ms=20_000) as running:
        streams = [await cluster.opened(running.server.port) for _ in range(5)]
        async with going(running, Pace(0, 0.2)):
            waits = [wait for _, wait in await asyncio.gather(*map(farewell, streams))]
        assert all(1_000 <= wait <= 2_000 for wait in waits), "others are there, and they leave one after the other"
        assert len(set(waits)) > 1, "they would all come back at once"
        assert await readiness(running) == 503
        assert running.services.hub.reactor.endings[Ending.DRAIN] == 5


async def test_while_ingresses_learn_of_it_everything_is_served(cluster: Cluster) -> None:
    async with cluster.edge() as running:
        old = await cluster.opened(running.server.port)
        async with going(running, Pace(30, 0)) as hurry:
            await until(lambda: running.services.leaving, "it goes")
            assert await readiness(running) == 503
            new = await cluster.opened(running.server.port)
            await cluster.publish(running, FLIGHTS[:3])
            for stream in (old, new):
                assert [event.data for event in await stream.published(3)] == [text_of(one) for one in FLIGHTS[:3]]
            hurry.set()
            await asyncio.gather(farewell(old), farewell(new))


async def test_the_last_event_before_the_farewell_arrives_and_the_next_pod_goes_on(cluster: Cluster) -> None:
    async with cluster.edge() as running, cluster.edge() as other:
        streams = [await cluster.opened(running.server.port) for _ in range(40)]
        sent = [text_of(one) for one in FLIGHTS]

        async def read(stream: Stream) -> list[str]:
            before, _ = await farewell(stream)
            missing = len(sent) - len(before)
            again = await cluster.opened(other.server.port, "", f"Last-Event-ID: {stream.parser.last_id}")
            return before + [event.data for event in await again.published(missing)]

        async with going(running, Pace(0, 1.0)):
            reading = asyncio.gather(*map(read, streams))
            for one in FLIGHTS:
                await cluster.publish(other, [one])
                await asyncio.sleep(0.02)
        assert all(got == sent for got in await reading)


async def test_a_new_stream_is_sent_to_another_pod_meanwhile(cluster: Cluster) -> None:
    async with cluster.edge() as running:
        streams = [await cluster.opened(running.server.port) for _ in range(40)]
        async with going(running, Pace(0, 30)) as hurry:
            await until(lambda: running.services.draining, "it drains")
            answer = await call(running.server.port, cluster.target(), "Accept: text/event-stream")
            (event,) = answer.events
            assert json.loads(event.data)["code"] == "SSE_DRAINING"
            assert (await call(running.server.port, cluster.target())).status == 503
            hurry.set()
            await asyncio.gather(*map(farewell, streams))


async def test_a_publish_is_stored_until_nobody_listens(cluster: Cluster) -> None:
    event = b'{"topic":"orders","data":1}'
    async with cluster.edge() as running:
        port = running.server.port
        streams = [await cluster.opened(port) for _ in range(40)]
        async with going(running, Pace(0, 30)) as hurry:
            await until(lambda: running.services.draining, "it drains")
            stored = await call(port, cluster.target(), JSON, method="POST", body=event)
            assert (stored.status, stored.json["seq"]) == (200, 1)
            assert (await call(port, cluster.target(path="/v1/poll"))).status == 503
            running.services.memory.limit = 1  # byte
            running.services.memory.sample(1)
            assert (await call(port, cluster.target(), JSON, method="POST", body=event)).status == 503
            hurry.set()
            await asyncio.gather(*map(farewell, streams))


async def test_connections_that_are_kept_open_end_with_their_next_answer(cluster: Cluster) -> None:
    """An ingress keeps a few to each pod, and a producer one: they must find another pod while this one still works."""
    event = b'{"topic":"orders","data":1}'
    asks = (
        request(cluster.target(), JSON, f"Content-Length: {len(event)}", method="POST") + event,
        request(cluster.target(path="/v1/poll")),
        request(cluster.target(), method="HEAD"),
        request("/nowhere"),
        request(cluster.target(), method="OPTIONS"),
    )
    async with cluster.edge() as running:
        wires = [await cluster.wire(running.server.port) for _ in asks]
        for leaving in (False, True):
            running.services.leaving = leaving
            for wire, ask in zip(wires, asks, strict=True):
                await wire.send(ask)
                answer = await wire.answer(bodyless=ask.startswith(b"HEAD"))
                assert answer.headers.get("connection") == ("close" if leaving else None), (leaving, ask)
                if leaving:
                    assert await wire.rest() == b""


async def test_a_reader_inside_a_frame_has_until_the_end_to_read_it(cluster: Cluster) -> None:
    async with cluster.edge(sndbuf=4096) as running:
        slow = await cluster.stream(running.server.port, rcvbuf=4096)
        big = await cluster.put("big", b"x" * 250_000)
        others = [await cluster.opened(running.server.port) for _ in range(30)]
        await until(lambda: any(one.unsent for one in running.services.hub.reactor.connections()), "it is behind")
        async with going(running, Pace(0, 10.0)):
            # Only when it is the last: until then its turn has come, and it stood inside the frame.
            await asyncio.gather(*map(farewell, others))
            await until(lambda: len(running.services.hub.reactor) == 1, "the others have left")
            await asyncio.sleep(0.3)  # some steps of the drain, in which nobody but it is left
            assert len(running.services.hub.reactor) == 1, "it was cut off inside its frame"
            data, _ = await farewell(slow)
            assert [len(one) for one in data] == [250_000]
        assert slow.parser.last_id.split("-")[1] == str(big)


@pytest.mark.parametrize(
    ("signals", "most"),
    [([signal.SIGINT], 6.0), ([signal.SIGTERM, signal.SIGTERM], 6.0)],
    ids=["somebody waits for it", "told twice"],
)
async def test_a_person_who_stops_it_does_not_wait(
    cluster: Cluster, tmp_path: Path, signals: list[signal.Signals], most: float
) -> None:
    env = {"SLIPSTREAM_DRAIN_DELAY": "60", "SLIPSTREAM_DRAIN": "60"}
    async with Edge(cluster.nats.url, tmp_path, env=env) as edge:
        streams = [await cluster.opened(edge.port) for _ in range(50)]
        began = time.monotonic()
        for number in signals:
            os.kill(edge.pid, number)
            await asyncio.sleep(0.2)
        await asyncio.gather(*map(farewell, streams))
        assert await edge.wait_gone(seconds=10) == 0
        assert time.monotonic() - began < most


async def polls_of(cluster: Cluster, port: int, count: int = 5) -> list[asyncio.Task[Answer]]:
    """Polls that wait for an event that does not come."""
    target = cluster.target("wait=30", "/v1/poll")
    return [asyncio.create_task(call(port, target), name=f"poll-{number}") for number in range(count)]


async def all_wait(admin_port: int, count: int) -> None:
    """Return when so many polls wait, as the process itself says."""
    until_ = time.monotonic() + 10
    while (await call(admin_port, "/statusz")).json["polls"] < count:
        assert time.monotonic() < until_, "they do not wait"


async def cursor_of(waiting: asyncio.Task[Answer]) -> str:
    """Where a poll was told to go on: it must be answered as one whose time was up."""
    answer = await waiting
    assert answer.status == 200, answer
    assert answer.headers["connection"] == "close"
    page = answer.json
    assert page == {"events": [], "cursor": page["cursor"], "more": False, "gap": None}
    return str(page["cursor"])


async def test_a_poll_that_waits_is_answered_and_goes_on_at_the_next_pod(cluster: Cluster) -> None:
    async with cluster.edge() as running, cluster.edge() as other:
        await cluster.publish(running, FLIGHTS[:2])
        waiting = await polls_of(cluster, running.server.port)
        await until(lambda: len(running.services.polls) == 5, "all wait")
        async with going(running, Pace(0, 0.2)):
            cursors = await asyncio.gather(*map(cursor_of, waiting))
        assert not running.services.polls
        await cluster.publish(other, FLIGHTS[2:5])
        for cursor in cursors:
            page = (await call(other.server.port, cluster.target(f"last_event_id={cursor}", "/v1/poll"))).json
            assert [event["data"] for event in page["events"]] == [text_of(one) for one in FLIGHTS[2:5]]


@pytest.mark.parametrize("frozen", [False, True], ids=["NATS is there", "NATS is frozen"])
async def test_it_is_gone_within_its_grace_time_whoever_waits(tmp_path: Path, *, frozen: bool) -> None:
    """The grace time is the sum of both settings and 5 s (docs/operations/drain.md)."""
    delay, window = 0.2, 1.0
    env = {"SLIPSTREAM_DRAIN_DELAY": str(delay), "SLIPSTREAM_DRAIN": str(window)}
    server = NatsServer(tmp_path)
    await server.start()
    try:
        async with Cluster.on(server) as cluster, Edge(server.url, tmp_path, env=env) as edge:
            stream = await cluster.opened(edge.port)
            waiting = await polls_of(cluster, edge.port)
            await all_wait(edge.admin_port, len(waiting))
            if frozen:
                server.pause()
                event = b'{"topic":"orders","data":1}'
                hung = await cluster.wire(edge.port)
                await hung.send(request(cluster.target(), JSON, f"Content-Length: {len(event)}", method="POST") + event)
            leaving = asyncio.create_task(edge.terminate(seconds=delay + window + 5), name="leaving")
            cursors = await asyncio.gather(*map(cursor_of, waiting))
            await farewell(stream)
            assert await leaving == 0
            server.resume()
            async with Edge(server.url, tmp_path, name="next") as other:
                for cursor in cursors:
                    page = await call(other.port, cluster.target(f"last_event_id={cursor}", "/v1/poll"))
                    assert (page.status, page.json["gap"]) == (200, None)
    finally:
        server.resume()
        await server.kill()
