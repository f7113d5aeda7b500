"""`slipstream tail` against a real NATS and a real edge, each command a process of its own."""

import asyncio
import itertools
import json
import os
import random
import signal
import subprocess
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from slipstream.demo import earthquakes
from tests.integration.cluster import Cluster, text_of
from tests.integration.guarded import KEY, guarded, minted
from tests.servers import HOST, Edge, Finished, NatsServer, slipstream, slipstream_environment
from tests.tokens import JwksServer

pytestmark = [pytest.mark.asyncio(loop_factories=["asyncio"]), pytest.mark.timeout(150)]

QUAKES = list(itertools.islice(earthquakes(), 300))


@pytest.fixture
async def edge(nats: NatsServer, tmp_path: Path) -> AsyncIterator[Edge]:
    async with Edge(nats.url, tmp_path) as one:
        yield one


async def store(cluster: Cluster, count: int, begin: int = 0) -> None:
    for event in QUAKES[begin : begin + count]:
        await cluster.put(event["topic"], text_of(event).encode(), {"Sse-Event": event["event"]})


async def tail(cluster: Cluster, edge: Edge, *arguments: str) -> Finished:
    done = await slipstream("tail", edge.url, "-t", cluster.tenant, *arguments, nats_url=cluster.nats.url)
    assert "Traceback" not in done.stderr
    return done


async def begun(cluster: Cluster, edge: Edge, *arguments: str, stdout: int = subprocess.PIPE) -> Process:
    """A tail that runs until somebody ends it."""
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "slipstream", "tail", edge.url, "-t", cluster.tenant, *arguments),
        stdout=stdout,
        stderr=subprocess.PIPE,
        env=slipstream_environment(cluster.nats.url),
    )


def data_of(lines: list[dict[str, Any]]) -> list[Any]:
    return [json.loads(line["data"]) for line in lines]


async def test_it_goes_on_where_the_last_one_ended(cluster: Cluster, edge: Edge, tmp_path: Path) -> None:
    await store(cluster, 60)
    place, saved = tmp_path / "place", tmp_path / "saved"
    seen: list[dict[str, Any]] = []
    where = ("--from", "earliest", "--json", "--save", str(saved), "--bookmark", str(place))
    for count in (7, 40, 3):
        done = await tail(cluster, edge, *where, "--count", str(count))
        assert done.status == 0, done.stderr
        assert f"{count} events in " in done.stderr
        assert "in order; gaps told: 0; reconnects: 0" in done.stderr
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        assert len(lines) == count
        assert place.read_text().strip() == lines[-1]["id"]
        seen += lines
    assert data_of(seen) == [event["data"] for event in QUAKES[:50]]
    assert [json.loads(line) for line in saved.read_text().splitlines()] == seen

    # An id that is given begins after it; a bookmark that is there wins.
    after = ("--from", seen[9]["id"], "--count", "1", "--json")
    assert data_of([json.loads((await tail(cluster, edge, *after)).stdout)]) == [QUAKES[10]["data"]]
    won = await tail(cluster, edge, *after, "--bookmark", str(place))
    assert data_of([json.loads(won.stdout)]) == [QUAKES[50]["data"]]


async def test_what_is_shown_is_picked_by_topic_name_and_data(cluster: Cluster, edge: Edge) -> None:
    await store(cluster, 300)
    topic = QUAKES[0]["topic"]
    one = await tail(cluster, edge, "--raw", "--count", "1", "--topic", topic, "--from", "earliest")
    assert json.loads(one.stdout) == QUAKES[0]["data"]
    shown = await tail(cluster, edge, "--from", "10m", "--count", "1", "--topic", topic)
    assert f"  {topic}  {QUAKES[0]['event']}  " in shown.stdout

    await cluster.put(topic, b'{"properties":{"mag":9}}', {"Sse-Event": "drill"})
    await cluster.put(topic, b"no JSON", {"Sse-Event": "quake"})
    wanted = [event["data"] for event in QUAKES if event["data"]["properties"]["mag"] >= 2]
    assert 0 < len(wanted) < 300
    pick = ("--event", "quake", "--match", "/properties/mag>=2", "--for", "2")
    done = await tail(cluster, edge, "--raw", "--from", "earliest", *pick)
    assert [json.loads(line) for line in done.stdout.splitlines()] == wanted
    assert "302 events in 2." in done.stderr
    assert f"; shown: {len(wanted)};" in done.stderr


async def test_the_newest_of_each_topic(cluster: Cluster, edge: Edge) -> None:
    await store(cluster, 300)
    newest = {event["topic"]: event["data"] for event in QUAKES}
    done = await tail(cluster, edge, "--raw", "--from", "last", "--count", str(len(newest)))
    shown = [json.loads(line) for line in done.stdout.splitlines()]
    assert sorted(map(str, shown)) == sorted(map(str, newest.values()))


async def test_it_ends_in_time_and_says_whether_enough_came(cluster: Cluster, edge: Edge) -> None:
    await store(cluster, 2)
    begin = ("--from", "earliest", "--raw", "--for", "1")
    some = await tail(cluster, edge, *begin)
    assert (some.status, len(some.stdout.splitlines())) == (0, 2)
    few = await tail(cluster, edge, *begin, "--count", "3")
    assert (few.status, len(few.stdout.splitlines())) == (1, 2)
    assert few.stderr.splitlines()[-1] == "slipstream: 2 of 3 events came within 1 s"


async def test_a_server_that_is_not_there_is_no_success(cluster: Cluster) -> None:
    done = await slipstream("tail", "http://127.0.0.1:1", "--for", "1", nats_url=cluster.nats.url)
    assert done.status == 1
    assert "127.0.0.1:1: ConnectionRefusedError" in done.stderr
    assert done.stderr.splitlines()[-1].startswith("slipstream: no stream was opened within 1 s. Is the server")


async def test_a_server_without_tls_is_told_with_the_url_that_it_may_have(cluster: Cluster, edge: Edge) -> None:
    url = edge.url.replace("http://", "https://")
    done = await slipstream("tail", url, "-t", cluster.tenant, "--for", "2", nats_url=cluster.nats.url)
    assert done.status == 1
    first = done.stderr.splitlines()[0]
    assert "SSLError" in first
    assert first.endswith("(the server speaks no TLS there: is it http://?)")


async def test_a_gap_is_told_loudly_with_advice_and_recorded(cluster: Cluster, edge: Edge) -> None:
    await cluster.put("a", b"one")
    begin = ("--from", "zzzzzzzz-41", "--count", "1")
    done = await tail(cluster, edge, *begin)
    assert done.status == 0, done.stderr
    gap = done.stderr.splitlines()[0]
    assert gap.startswith("!!! GAP (reset, SSE_STREAM_RESET): events MAY be missing after zzzzzzzz-41; goes on after ")
    assert ". What to do: the stream was made anew" in gap
    assert done.stdout.endswith("  message  one\n")
    assert "gaps told: 1" in done.stderr
    recorded = await tail(cluster, edge, *begin, "--json")
    assert [json.loads(line)["event"] for line in recorded.stdout.splitlines()] == ["stream.gap", "message"]


async def test_a_refusal_that_stays_ends_it_with_advice(cluster: Cluster, edge: Edge) -> None:
    done = await slipstream("tail", edge.url, "-t", "nobody", nats_url=cluster.nats.url)
    assert done.status == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("slipstream: refused: 404 SSE_NOT_FOUND: ")
    assert last.count(". ") == 1, "what to do follows"


async def test_a_token_comes_from_the_environment_or_an_option(cluster: Cluster, tmp_path: Path) -> None:
    async with JwksServer.serving(KEY) as keys, guarded(cluster, keys, tmp_path) as running:
        url = f"http://{HOST}:{running.server.port}"
        await cluster.put("a", b"one")

        async def tail_of(*arguments: str, token: str | None = None) -> Finished:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "slipstream", "tail", url, "--from", "earliest", "--count", "1", "--raw"),
                *arguments,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=slipstream_environment(cluster.nats.url) | ({"SLIPSTREAM_TOKEN": token} if token else {}),
            )
            async with asyncio.timeout(30):
                out, err = await process.communicate()
            assert process.returncode is not None
            return Finished(process.returncode, out.decode(), err.decode())

        good, other = minted(cluster), minted(cluster, tenant="nobody")
        assert (await tail_of(token=good)).stdout == "one\n"
        assert (await tail_of("--token", good, token=other)).stdout == "one\n", "the option goes before the variable"
        refused = await tail_of()
        assert (refused.status, refused.stdout) == (1, "")
        assert "401 SSE_UNAUTHORIZED" in refused.stderr
        assert "--token or SLIPSTREAM_TOKEN" in refused.stderr
        wrong = await tail_of("--token", other)
        assert "403 SSE_FORBIDDEN" in wrong.stderr
        assert other not in wrong.stderr


async def test_ctrl_c_ends_it_at_once_with_its_summary(cluster: Cluster, edge: Edge, tmp_path: Path) -> None:
    await cluster.put("a", b"one")
    place = tmp_path / "place"
    process = await begun(cluster, edge, "--from", "earliest", "--bookmark", str(place), "--json")
    assert process.stdout is not None
    async with asyncio.timeout(20):
        shown = json.loads(await process.stdout.readline())
        process.send_signal(signal.SIGINT)
        _, told = await process.communicate()
    assert process.returncode == 0
    assert shown["data"] == "one"
    assert b"1 events in " in told
    assert told.count(b"\n") == 1, told
    assert place.read_text().strip() == shown["id"]


async def test_the_reader_of_its_output_may_leave(cluster: Cluster, edge: Edge) -> None:
    for _ in range(3):
        await cluster.put("a", b"one")
    read, write = os.pipe()
    process = await begun(cluster, edge, "--from", "earliest", stdout=write)
    os.close(write)
    os.close(read)
    async with asyncio.timeout(20):
        _, told = await process.communicate()
    assert process.returncode == 1
    assert b"Traceback" not in told


async def test_a_record_has_every_event_once_though_tail_and_edge_are_killed(
    cluster: Cluster, nats: NatsServer, tmp_path: Path
) -> None:
    """Killed without a warning at moments of no choice; the last one is ended by hand when it has everything."""
    dice = random.Random(11)
    saved = tmp_path / "saved"
    where = ("--from", "earliest", "--raw", "--save", str(saved), "--bookmark", str(tmp_path / "place"))
    stored = 0
    async with Edge(nats.url, tmp_path) as edge:
        for _ in range(5):
            process = await begun(cluster, edge, *where)
            assert process.stdout is not None
            for _ in range(dice.randrange(5, 40)):
                await store(cluster, 1, stored)
                stored += 1
            async with asyncio.timeout(20):
                for _ in range(dice.randrange(1, 5)):
                    await process.stdout.readline()
            process.kill()
            await process.communicate()
        process = await begun(cluster, edge, *where)
        assert process.stdout is not None
        await store(cluster, 1, stored)
        async with asyncio.timeout(20):
            await process.stdout.readline()
        await edge.kill()
        await edge.start()
        await store(cluster, 20, stored + 1)
        stored += 21
        async with asyncio.timeout(30):
            while len(saved.read_text().splitlines()) < stored:
                await process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        _, told = await process.communicate()
        assert process.returncode == 0, told
        assert b"reconnects: 1" in told
        assert b"; again in " in told, "it says that it lost its server"
    lines = [json.loads(line) for line in saved.read_text().splitlines()]
    assert data_of(lines) == [event["data"] for event in QUAKES[:stored]]
    assert (tmp_path / "place").read_text().strip() == lines[-1]["id"]
