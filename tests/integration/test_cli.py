"""The command line against a real NATS and a real edge, each command a process of its own."""

import asyncio
import base64
import itertools
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from slipstream.demo import earthquakes
from slipstream.jetstream.api import Api
from slipstream.protocol.message_id import message_id
from slipstream.protocol.position import Position
from tests.integration.cluster import Cluster
from tests.servers import HOST, Edge, NatsServer, free_port, slipstream, slipstream_environment

# Some tests run a score of commands, each a Python that starts.
pytestmark = [pytest.mark.asyncio(loop_factories=["asyncio"]), pytest.mark.timeout(150)]

QUAKES = list(itertools.islice(earthquakes(), 300))
NDJSON = "".join(json.dumps(event) + "\n" for event in QUAKES)


@pytest.fixture
async def edge(nats: NatsServer, tmp_path: Path) -> AsyncIterator[Edge]:
    async with Edge(nats.url, tmp_path) as one:
        yield one


def document(name: str, **spec: Any) -> str:
    return json.dumps(
        {"apiVersion": "slipstream.dev/v1alpha1", "kind": "Tenant", "metadata": {"name": name}, "spec": spec}
    )


async def stored(api: Api, tenant: str, seq: int) -> tuple[str, dict[str, str], bytes]:
    """Subject, headers and payload of a stored message, as the leader has them."""
    message = (await api.call(f"STREAM.MSG.GET.SSE_{tenant}", {"seq": seq}))["message"]
    lines = base64.b64decode(message.get("hdrs", "")).decode().split("\r\n")[1:]
    headers = dict(line.split(": ", 1) for line in lines if line)
    return message["subject"], headers, base64.b64decode(message.get("data", ""))


async def test_a_cluster_that_is_just_born_is_waited_for(tmp_path: Path) -> None:
    """Of three nodes the first alone is no majority, so it stores nothing until the others are there."""
    ports = [free_port() for _ in range(3)]
    first, *others = servers = [
        NatsServer(
            tmp_path,
            name=f"born-{number}",
            config=f'cluster {{ name: born, listen: "{HOST}:{ports[number]}"'
            f", routes: [{', '.join(f'nats://{HOST}:{port}' for port in ports)}] }}",
        )
        for number in range(3)
    ]
    command = [sys.executable, "-m", "slipstream", "tenant", "apply", "-f", "-"]
    try:
        first.spawn()
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=slipstream_environment(first.url),
        )
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            assert process.stderr is not None
            process.stdin.write(document("born").encode())
            process.stdin.close()
            async with asyncio.timeout(15):
                told = await process.stderr.readline()
            assert told.startswith(b"slipstream: waiting up to 20 s for JetStream: "), told
            for server in others:
                server.spawn()
            async with asyncio.timeout(30):
                out, more = await process.stdout.read(), await process.stderr.read()
                status = await process.wait()
            assert (status, out, more) == (0, b"tenant born created\n", b"")
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
    finally:
        for server in servers:
            if server.alive:
                await server.kill()


async def test_a_tenants_life(nats: NatsServer, cluster: Cluster, tmp_path: Path) -> None:
    both = tmp_path / "tenants.yaml"
    both.write_text(
        "apiVersion: slipstream.dev/v1alpha1\nkind: Tenant\nmetadata: {name: life-a}\n---\n"
        + document("life-b", retention={"max_bytes": "1MiB"}, event_bytes="1KiB")
    )

    async def run(*arguments: str, stdin: str = "") -> tuple[int, str, str]:
        done = await slipstream("tenant", *arguments, nats_url=nats.url, stdin=stdin)
        assert "Traceback" not in done.stderr
        return done.status, done.stdout, done.stderr

    assert await run("apply", "-f", str(both)) == (0, "tenant life-a created\ntenant life-b created\n", "")
    assert await run("apply", "-f", str(both)) == (0, "tenant life-a unchanged\ntenant life-b unchanged\n", "")
    changed = document("life-b", retention={"max_bytes": "2MiB", "max_age": "1h"})
    assert await run("apply", "-f", "-", stdin=changed) == (0, "tenant life-b configured\n", "")
    config = (await cluster.api.call("STREAM.INFO.SSE_life-a"))["config"]
    assert (config["max_bytes"], config["max_age"]) == (1 << 30, 86_400 * 10**9), "the defaults of the settings"
    config = (await cluster.api.call("STREAM.INFO.SSE_life-b"))["config"]
    assert (config["max_bytes"], config["max_age"]) == (2 << 20, 3_600 * 10**9)

    # Somebody tampers with the stream: applying again puts it right, and says so.
    await cluster.api.call("STREAM.UPDATE.SSE_life-b", {**config, "max_bytes": 4 << 20})
    assert (await run("apply", "-f", "-", stdin=changed))[1] == "tenant life-b configured\n"

    status, text, _ = await run("get", "life-b")
    assert status == 0
    shown = yaml.safe_load(text)
    assert shown["spec"]["retention"] == {"max_age": 3_600, "max_bytes": 2 << 20}
    assert shown["status"]["stream"]["last_seq"] == 0
    assert await run("apply", "-f", "-", stdin=text) == (0, "tenant life-b unchanged\n", "")
    assert json.loads((await run("get", "life-b", "-o", "json"))[1]) == shown

    status, text, _ = await run("list")
    names = [line.split()[0] for line in text.splitlines()]
    assert names == ["NAME", "life-a", "life-b", cluster.tenant]

    epoch = shown["status"]["stream"]["epoch"]
    assert await run("delete", "life-b", "--yes", "--keep-stream") == (
        0,
        "tenant life-b deleted; its 0 events are kept\n",
        "",
    )
    status, _, told = await run("get", "life-b")
    assert (status, told.count("\n")) == (1, 1)
    assert "there is no tenant life-b" in told
    assert (await run("apply", "-f", "-", stdin=changed))[1] == "tenant life-b created\n"
    assert yaml.safe_load((await run("get", "life-b"))[1])["status"]["stream"]["epoch"] == epoch

    for name in ("life-a", "life-b"):
        assert await run("delete", name, "-y") == (0, f"tenant {name} deleted\n", "")
    status, _, told = await run("delete", "life-b", "-y")
    assert status == 1
    assert told == "slipstream: there is no tenant life-b; `slipstream tenant list` shows those there are\n"
    names = [name for name in (await cluster.api.call("STREAM.NAMES"))["streams"] if "life" in name]
    assert names == []


async def test_more_than_nats_can_hold_is_told_with_what_was_done_before(nats: NatsServer) -> None:
    fits, huge = document("fits", retention={"max_bytes": "1MiB"}), document("huge", retention={"max_bytes": "1TiB"})
    text = f"{fits}\n---\n{huge}"
    done = await slipstream("tenant", "apply", "-f", "-", nats_url=nats.url, stdin=text)
    assert (done.status, done.stdout) == (1, "tenant fits created\n")
    assert done.stderr.startswith("slipstream: JetStream refused SSE_huge: ")
    assert "(10047). NATS reserves max_bytes: " in done.stderr
    assert "max_file_store" in done.stderr
    assert done.stderr.count("\n") == 1
    assert (await slipstream("tenant", "delete", "fits", "-y", nats_url=nats.url)).status == 0


async def test_what_nats_refuses_is_told_with_the_fix_for_that(nats: NatsServer) -> None:
    done = await slipstream("tenant", "apply", "-f", "-", nats_url=nats.url, stdin=document("three", replicas=3))
    assert (done.status, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert "(10074). spec.replicas above 1 needs as many NATS servers in a cluster: on one server" in done.stderr
    assert "max_bytes" not in done.stderr


async def test_the_tokens_of_a_tenant_that_is_not_there_cannot_be_revoked(cluster: Cluster, nats: NatsServer) -> None:
    revoke = ("token", "revoke", "--subject", "ada", "--tenant")
    done = await slipstream(*revoke, "nope", nats_url=nats.url)
    assert (done.status, done.stdout) == (1, "")
    assert done.stderr == "slipstream: there is no tenant nope; `slipstream tenant list` shows those there are\n"
    done = await slipstream(*revoke, cluster.tenant, nats_url=nats.url)
    assert (done.status, done.stdout) == (0, f"subject ada of tenant {cluster.tenant} revoked\n"), done.stderr
    # What stands for a tenant that was removed can be taken back.
    assert (await slipstream("tenant", "delete", cluster.tenant, "-y", nats_url=nats.url)).status == 0
    done = await slipstream(*revoke, cluster.tenant, "--undo", nats_url=nats.url)
    assert (done.status, done.stdout) == (0, f"subject ada of tenant {cluster.tenant} is no longer revoked\n")


async def test_an_event_is_stored_as_it_was_given(cluster: Cluster) -> None:
    arguments = ("publish", "orders.new", '{"n": 1}', "-t", cluster.tenant, "-e", "placed", "-k", "A/1", "--id", "7")
    first = await slipstream(*arguments, nats_url=cluster.nats.url)
    assert first.status == 0, first.stderr
    place = Position.parse(first.stdout.strip())
    subject, headers, data = await stored(cluster.api, cluster.tenant, place.seq)
    assert (subject, data) == (f"sse.{cluster.tenant}.orders.new", b'{"n": 1}')
    assert headers["Sse-Event"] == "placed"
    assert headers["Sse-Key"] == "A/1"
    assert headers["Nats-Msg-Id"] == message_id("orders.new", "7")

    again = await slipstream(*arguments, nats_url=cluster.nats.url)
    assert (again.status, again.stdout) == (0, first.stdout), "the same id within 120 s is the same event"
    assert "stored before" in again.stderr

    piped = await slipstream("publish", "a", "-t", cluster.tenant, nats_url=cluster.nats.url, stdin="東京\nzwei")
    assert piped.status == 0, piped.stderr
    _, headers, data = await stored(cluster.api, cluster.tenant, place.seq + 1)
    assert data.decode() == "東京\nzwei"
    assert not {"Sse-Event", "Sse-Key", "Nats-Msg-Id"} & headers.keys()


async def test_a_file_is_stored_in_its_order_and_once(cluster: Cluster, tmp_path: Path) -> None:
    path = tmp_path / "quakes.ndjson"
    path.write_text(NDJSON)
    done = await slipstream("publish", "-t", cluster.tenant, "-f", str(path), nats_url=cluster.nats.url)
    assert done.status == 0, done.stderr
    assert done.stdout.startswith(f"{len(QUAKES)} events stored in ")
    for seq in (1, 2, 150, len(QUAKES)):
        event = QUAKES[seq - 1]
        subject, headers, data = await stored(cluster.api, cluster.tenant, seq)
        assert subject == f"sse.{cluster.tenant}.{event['topic']}"
        assert headers["Sse-Event"] == event["event"]
        assert json.loads(data) == event["data"]

    again = await slipstream("publish", "-t", cluster.tenant, "-f", "-", nats_url=cluster.nats.url, stdin=NDJSON)
    assert f"{len(QUAKES)} events stored, {len(QUAKES)} of them stored before" in again.stdout
    state = (await cluster.api.call(f"STREAM.INFO.SSE_{cluster.tenant}"))["state"]
    assert (state["messages"], state["last_seq"]) == (len(QUAKES), len(QUAKES))


async def test_a_wrong_line_ends_a_file_with_its_number_and_what_was_stored(cluster: Cluster) -> None:
    text = "".join(NDJSON.splitlines(keepends=True)[:5]) + '{"topic":"a","data":1,"event":"stream.gap"}\n' + NDJSON
    done = await slipstream("publish", "-t", cluster.tenant, "-f", "-", nats_url=cluster.nats.url, stdin=text)
    assert done.status == 2
    assert done.stdout.startswith("5 events stored in ")
    assert done.stderr.startswith("slipstream: <stdin>: line 6: 'stream.gap' cannot be an event's name")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (("a", "1", "-t", "nobody"), 1, "there is no tenant nobody"),
        (("a.*", "1", "-t", "TENANT"), 2, "wildcard"),
        (("a", "1", "-t", "TENANT", "-e", "error"), 2, "reserved"),
        (("a", "x" * 100_001, "-t", "TENANT"), 2, "100001 bytes, at most 100000"),
        (("a", "1", "-t", "UPPER"), 2, "not a tenant's name"),
    ],
    ids=["tenant", "topic", "name", "size", "tenant-name"],
)
async def test_what_cannot_be_published_is_one_line(
    cluster: Cluster, arguments: tuple[str, ...], status: int, says: str
) -> None:
    await cluster.make(cluster.tenant, event_bytes=100_000)
    given = [cluster.tenant if one == "TENANT" else one for one in arguments]
    done = await slipstream("publish", *given, nats_url=cluster.nats.url)
    assert (done.status, done.stdout) == (status, "")
    assert says in done.stderr
    assert done.stderr.count("\n") == 1
    assert (await cluster.api.call(f"STREAM.INFO.SSE_{cluster.tenant}"))["state"]["messages"] == 0
