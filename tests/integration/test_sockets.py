"""A process whose descriptors would run out: it says no in time, goes on serving, and recovers; on both event loops."""

import asyncio
import itertools
import json
import resource
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from slipstream.demo import earthquakes
from slipstream.edge.listener import AT_ONCE, REFUSALS
from tests.integration.answers import EVENT_SOURCE, problem, short_stream
from tests.integration.cluster import Cluster, text_of
from tests.integration.wire import Answer, Stream, Wire, call, request
from tests.servers import Edge, http_get, wait_until

DESCRIPTORS = 400
STREAMS = DESCRIPTORS - 256
SOCKETS = DESCRIPTORS - 128
QUAKES = list(itertools.islice(earthquakes(), 10))


@asynccontextmanager
async def small_edge(cluster: Cluster, folder: Path, loop: str, **settings: str) -> AsyncIterator[Edge]:
    """An edge process with few descriptors."""
    env = {"SLIPSTREAM_LOOP": loop, "SLIPSTREAM_HEAD_DEADLINE": "60", **settings}
    edge = Edge(cluster.nats.url, folder, env=env)
    edge.argv = ["/bin/sh", "-c", f'ulimit -n {DESCRIPTORS} && exec "$@"', "sh", *edge.argv]
    async with edge:
        yield edge


def descriptors(edge: Edge) -> list[int]:
    return [int(one.name) for one in Path(f"/proc/{edge.pid}/fd").iterdir()]


async def status(edge: Edge) -> dict[str, object]:
    document = json.loads((await http_get(edge.admin_port, "/statusz"))[1])
    assert isinstance(document, dict)
    return document


async def streams_of(cluster: Cluster, edge: Edge, count: int) -> list[Stream]:
    return await asyncio.gather(*(cluster.opened(edge.port) for _ in range(count)))


async def idle(cluster: Cluster, edge: Edge, count: int) -> list[Wire]:
    return [await cluster.wire(edge.port) for _ in range(count)]


async def turned_away(wires: Iterable[Wire]) -> list[Wire]:
    """Those of the wires that had an answer without having asked."""
    await asyncio.sleep(0.5)
    found = []
    for wire in wires:
        try:
            if wire.socket.recv(1, 0x2):  # MSG_PEEK
                found.append(wire)
        except BlockingIOError:
            pass
    return found


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
async def test_300_idle_connections_are_refused_in_good_order_and_no_stream_notices(
    cluster: Cluster, tmp_path: Path, loop: str
) -> None:
    async with small_edge(cluster, tmp_path, loop) as edge:
        streams = await streams_of(cluster, edge, 100)
        wires: list[Wire] = []
        refused = 0
        # In groups that the door can refuse in good order.
        for _ in range(6):
            group = await idle(cluster, edge, 50)
            wires += group
            for wire in await turned_away(group):
                answer = await refusal(wire)
                assert await wire.rest() == b"", "a clean end and no reset"
                wire.close()
                refused += 1
                problem(answer, 503, "OVERLOADED")
        # asyncio accepts some before it counts the first of them.
        assert 0 <= 300 - (SOCKETS - 100) - refused <= AT_ONCE
        edge.pause()  # so that the request is there before the connection is accepted
        wire = await asked(cluster, edge)
        edge.resume()
        problem(await refusal(wire), 503, "OVERLOADED")
        await asyncio.sleep(0.1)
        assert await wire.rest() == b"", "a request that nobody reads does not reset the answer away"
        document = await status(edge)
        assert (document["connections"], document["max_connections"]) == (100, STREAMS)
        assert document["max_sockets"] == SOCKETS
        assert document["refusals"] == {"SSE_OVERLOADED": refused + 1}

        for number, event in enumerate(QUAKES, 1):
            await cluster.put(event["topic"], text_of(event).encode())
            for stream in (streams[0], streams[57], streams[99]):
                (got,) = await stream.published(1)
                assert (got.data, got.id.split("-")[1]) == (text_of(event), str(number))

        for wire in wires:
            wire.close()

        async def recovered() -> bool:
            return (await call(edge.port, cluster.target(path="/v1/poll"))).status == 200

        await wait_until(recovered, seconds=5, what="there is room again")
        more = await streams_of(cluster, edge, STREAMS - 100)
        # From here on it is a matter of streams, and an EventSource gets what it survives.
        short_stream(await call(edge.port, cluster.target(), EVENT_SOURCE), "OVERLOADED")
        await cluster.put("last", b"one")
        for stream in (streams[3], more[-1]):
            assert (await stream.published(len(QUAKES) + 1 if stream is streams[3] else 1))[-1].data == "one"
        log = edge.log.read_text()
        assert "Too many open files" not in log
        assert '"level":"error"' not in log
        assert log.count("has no room") == 1, "a flood is one line in ten seconds"


async def asked(cluster: Cluster, edge: Edge) -> Wire:
    """A connection with a request on its way: what was not read must not reset the answer away."""
    wire = await cluster.wire(edge.port)
    await wire.send(request(cluster.target(), *(f"X-{number}: {'x' * 4_000}" for number in range(3))))
    return wire


async def refusal(wire: Wire) -> Answer:
    answer = await wire.answer()
    assert answer.headers["connection"] == "close"
    assert 1 <= int(answer.headers["retry-after"]) <= 5
    return answer


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
async def test_a_flood_takes_no_more_than_the_refusals_that_are_allowed(
    cluster: Cluster, tmp_path: Path, loop: str
) -> None:
    async with small_edge(cluster, tmp_path, loop, SLIPSTREAM_MAX_CONNECTIONS="100000") as edge:
        streams = await streams_of(cluster, edge, 20)
        await asyncio.gather(*(cluster.wire(edge.port) for _ in range(1_000)))
        assert len(descriptors(edge)) <= SOCKETS + REFUSALS + 40
        await cluster.put("a", b"still here")
        assert (await streams[7].published(1))[0].data == "still here"
        document = await status(edge)
        assert (document["connections"], document["max_connections"]) == (20, STREAMS), "more than fit are not promised"
        assert "Too many open files" not in edge.log.read_text()


async def test_descriptors_that_others_took_do_not_end_the_listening(cluster: Cluster, tmp_path: Path) -> None:
    async with Edge(cluster.nats.url, tmp_path) as edge:
        stream = await cluster.opened(edge.port)
        before = resource.prlimit(edge.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(edge.pid, resource.RLIMIT_NOFILE, (max(descriptors(edge)) + 1, before[1]))
        for wire in await idle(cluster, edge, 50):
            wire.close()
        await cluster.put("a", b"meanwhile")
        assert (await stream.published(1))[0].data == "meanwhile"
        await asyncio.sleep(1.2)  # for the task that looks at the memory, twice
        resource.prlimit(edge.pid, resource.RLIMIT_NOFILE, before)
        await cluster.opened(edge.port)
        log = edge.log.read_text()
        assert "failed; it is started again" not in log
        assert log.count("\n") < 20, log


async def test_an_idle_connection_is_closed_after_the_head_deadline(cluster: Cluster) -> None:
    async with cluster.edge(head_deadline=0.5) as running:
        never, after = await cluster.wire(running.server.port), await cluster.wire(running.server.port)
        for _ in range(2):
            await after.send(request(cluster.target(path="/v1/poll")))
            assert (await after.answer()).status == 200
        clock = asyncio.get_running_loop().time
        began = clock()
        assert await after.rest() == b""
        assert await never.rest() == b""
        assert 0.3 < clock() - began < 5
        stream = await cluster.opened(running.server.port)
        await asyncio.sleep(1.0)
        await cluster.put("a", b"x")
        assert (await stream.published(1))[0].data == "x", "a stream has no such deadline"
