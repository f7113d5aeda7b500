"""The users that `slipstream tenant nats-permissions` prints, on a nats-server that enforces them and logs what it did.

An edge and the command line do all their work with them, nothing of which is refused, and no more is allowed than that
work asks for; a producer does nothing but publish for its own tenant.
"""

import asyncio
import json
import re
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from nats.js.errors import NoStreamResponseError

from slipstream.auth.revocations import Kind, Revocation
from slipstream.jetstream import permissions
from slipstream.jetstream.permissions import inbox_prefix
from slipstream.jetstream.revocations import RevocationLedger
from slipstream.jetstream.subjects import REVOCATIONS_BUCKET, TENANTS_BUCKET
from slipstream.jetstream.tickets import Tickets
from slipstream.protocol.topic import Filters
from tests.contract.pod import Pod
from tests.contract.reading import snapshot
from tests.contract.test_peers import processes
from tests.contract.users import (
    HASH,
    PASSWORD,
    Held,
    Watch,
    access,
    command,
    document,
    entered,
    fenced,
    finished,
    printed,
    url_of,
)
from tests.integration.wire import Answer, Stream, Wire, call, request
from tests.servers import Edge, NatsServer, nats_server_path, wait_until

PUBLISHING = Path(__file__).parents[2] / "docs" / "publishing.md"

TENANTS = ("acme", "other", "spare")
"""Each has a producer's user; `spare` has no stream."""


@pytest.fixture(scope="module")
def module_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    server = fenced(tmp_path_factory.mktemp("nats"), TENANTS)

    async def begin() -> None:
        await server.start()
        text = "\n---\n".join(document(name, retention={"max_bytes": "8MiB"}) for name in ("acme", "other"))
        assert await command(server, "apply", "-f", "-", stdin=text) == "tenant acme created\ntenant other created\n"

    try:
        asyncio.run(begin())
        yield server
    finally:
        if server.alive:
            asyncio.run(server.kill())


@pytest.fixture
async def reader(nats: NatsServer) -> AsyncIterator[Pod]:
    """What a process of ours has of JetStream, as the edges' user."""
    async with Pod(url_of(nats, "edge")) as one:
        yield one


@pytest.fixture
async def producer(nats: NatsServer) -> AsyncIterator[Held]:
    """A plain nats-py client of the tenant `acme`."""
    async with entered(nats, "acme-producer", inbox_prefix("acme")) as held:
        yield held


async def test_a_producer_publishes_with_an_acknowledgement(producer: Held, reader: Pod) -> None:
    context = producer.client.jetstream()
    headers = {"Nats-Msg-Id": "order-1", "Sse-Event": "created", "Sse-Key": "ORD-1"}
    ack = await context.publish("sse.acme.orders.new", b'{"total":42}', headers=headers)
    again = await context.publish("sse.acme.orders.new", b'{"total":42}', headers=headers)
    assert (ack.stream, again.seq, again.duplicate) == ("SSE_acme", ack.seq, True)
    assert await producer.refused() == []
    ((record,),) = await snapshot(reader.source("acme"), "orders.new")
    assert (record.seq, record.event, record.data) == (ack.seq, "created", b'{"total":42}')


async def test_the_producer_of_the_documentation_works_with_its_user(nats: NatsServer) -> None:
    _, block = re.split(r"## Over NATS\n.*?```python\n", PUBLISHING.read_text("utf-8"), maxsplit=1, flags=re.DOTALL)
    code, connect = block.split("```")[0], 'nats.connect("nats://127.0.0.1:4222")'
    assert connect in code
    entering = f'nats.connect("{nats.url}", user="acme-producer", password="{PASSWORD}", inbox_prefix="_INBOX_acme")'
    assert (await finished([sys.executable, "-c", code.replace(connect, entering)])).startswith("SSE_acme ")


async def test_a_producer_whose_tenant_has_no_stream_is_told_at_once(nats: NatsServer) -> None:
    async with entered(nats, "spare-producer", inbox_prefix("spare")) as held:
        with pytest.raises(NoStreamResponseError):
            await held.client.jetstream().publish("sse.spare.a", b"1")


async def test_without_its_inbox_prefix_a_producer_is_told_nothing_of_what_is_stored(
    nats: NatsServer, reader: Pod
) -> None:
    before = (await reader.source("acme").state()).last_seq
    async with entered(nats, "acme-producer") as held:
        with pytest.raises(TimeoutError):
            await held.client.jetstream(timeout=0.3).publish("sse.acme.unheard", b"1")
        (told,) = await held.refused()
    assert told.startswith('nats: permissions violation for subscription to "_inbox.')
    assert (await reader.source("acme").state()).last_seq == before + 1


async def test_a_producer_publishes_to_nothing_else(producer: Held) -> None:
    await producer.cannot_publish(
        [
            "sse.other.orders.new",
            "sse.acme",
            "orders.new",
            "$KV.slipstream_tenants.acme",
            "$KV.slipstream_tenants.other",
            "_INBOX.someone.1",
            "$JS.API.INFO",
            "$JS.API.STREAM.INFO.SSE_acme",
            "$JS.API.STREAM.MSG.GET.SSE_acme",
            "$JS.API.STREAM.MSG.GET.SSE_other",
            "$JS.API.STREAM.CREATE.mine",
            "$JS.API.STREAM.UPDATE.SSE_acme",
            "$JS.API.STREAM.DELETE.SSE_acme",
            "$JS.API.STREAM.PURGE.SSE_other",
            "$JS.API.STREAM.MSG.DELETE.SSE_acme",
            "$JS.API.DIRECT.GET.SSE_acme",
            "$JS.API.DIRECT.GET.SSE_other.sse.other.orders.new",
            "$JS.API.DIRECT.GET.KV_slipstream_tenants.$KV.slipstream_tenants.acme",
            "$JS.API.CONSUMER.CREATE.SSE_acme.mine",
            "$JS.API.CONSUMER.CREATE.SSE_other.mine",
            "$JS.API.CONSUMER.MSG.NEXT.SSE_other.mine",
            # What edges ask one another.
            "slipstream.edge.a.renew",
            "slipstream.edges.usage",
        ]
    )


async def test_a_producer_hears_nothing(producer: Held) -> None:
    await producer.cannot_subscribe(
        [
            ">",
            "sse.>",
            "sse.acme.>",
            "sse.other.>",
            "_INBOX.>",
            "_INBOX_other.>",
            "$KV.>",
            "$JS.>",
            "*.*.*",
            "slipstream.edge.*.*",
            "slipstream.edges.*",
        ]
    )


async def test_an_acknowledgement_goes_no_further_than_the_producers_account(
    nats: NatsServer, producer: Held, reader: Pod
) -> None:
    """Permissions do not judge a reply subject; test_one_account.py shows what that does within one."""
    before = await reader.source("other").state(), await command(nats, "get", "other")
    heard = await reader.link.client.subscribe("_INBOX.edge")
    for reply in (
        "sse.other.forged",
        "$KV.slipstream_tenants.other",
        "$JS.API.STREAM.PURGE.SSE_other",
        "$JS.API.STREAM.DELETE.SSE_other",
        "_INBOX.edge",
    ):
        await producer.client.publish("sse.acme.orders.new", b"1", reply=reply)
    await producer.client.publish("sse.acme.orders.new", b"1", headers={"Nats-Trace-Dest": "sse.other.forged"})
    # This one is acknowledged: those before it have been answered.
    await producer.client.jetstream().publish("sse.acme.orders.new", b"2")
    assert await producer.refused() == ['nats: permissions violation for publish to "sse.other.forged"']
    assert (await reader.source("other").state(), await command(nats, "get", "other")) == before
    assert heard.pending_msgs == 0


async def test_an_edge_does_all_its_work(nats: NatsServer, tmp_path: Path) -> None:
    watch = Watch(nats)
    env = access("edge") | {"SLIPSTREAM_RING_EVENTS": "2", "SLIPSTREAM_LINGER": "0"}
    async with Edge(nats.url, tmp_path, env=env) as edge:
        await _status(edge, "acme", 200)
        async with _stream(edge, "topic=a.>") as live:
            body = b"".join(b'{"topic":"a.%d","data":{"n":%d},"id":"%d"}\n' % (n % 3, n, n) for n in range(8))
            answer = await _post(edge, "acme", body)
            assert answer.status == 200, answer
            ids = [event.id for event in await live.published(8)]
        # Beyond the ring of two: the leader's word on the position, then Direct Get.
        async with _stream(edge, "topic=a.>", f"Last-Event-ID: {ids[1]}") as resumed:
            assert [event.id for event in await resumed.published(6)] == ids[2:]
        async with _stream(edge, "topic=a.>&since=last") as last:
            assert [event.id for event in await last.published(3)] == ids[5:]
        async with _stream(edge, "topic=a.>&since=2026-01-01T00:00:00Z") as since:
            assert [event.id for event in await since.published(8)] == ids
        epoch, seq, _ = ids[0].split("-")
        places = {f"{epoch}-{int(seq) + 99}": "ahead", f"{epoch}-{seq}-1": "rewritten", "abcdefgh-1": "reset"}
        for place, reason in places.items():
            async with _stream(edge, "topic=a.>", f"Last-Event-ID: {place}") as gapped:
                assert json.loads((await gapped.one("stream.gap")).data)["reason"] == reason
        polled = await call(edge.port, f"/v1/poll?tenant=acme&topic=a.*&last_event_id={ids[3]}&limit=2")
        assert [event["id"] for event in polled.json["events"]] == ids[4:6]

        # The tenants' documents are followed.
        made = document("late", retention={"max_bytes": "1MiB"}, event_bytes=10)
        await command(nats, "apply", "-f", "-", stdin=made)
        await _status(edge, "late", 200)
        assert (await _post(edge, "late", b'{"topic":"a","data":"more than ten"}')).status == 413
        await command(nats, "delete", "late", "--yes")
        await _status(edge, "late", 404)
        assert await edge.terminate() == 0
        assert "violation" not in edge.log.read_text().lower()

    # What is asked only where events are evicted under a read.
    async with Pod(url_of(nats, "edge")) as pod:
        for number in range(60):
            await pod.put("acme", f"many.{number}", b"x" * 100)
        batches = pod.source("acme").snapshot(Filters.parse([]))
        assert await anext(batches)
        await command(nats, "apply", "-f", "-", stdin=document("acme", retention={"max_bytes": "2KiB"}))
        assert [one async for batch in batches for one in batch]
        # What is asked only where there are tokens.
        tickets = Tickets(pod.api)
        assert await tickets.key(1) == await Tickets(pod.api).key(1)
        assert await tickets.spend("0" * 32)
        revocation = Revocation.of("acme", Kind.SUBJECT, "ada", time.time())
        assert await RevocationLedger(pod.api).put(revocation) == revocation

    # What edges ask one another.
    async with processes(url_of(nats, "edge"), "a", "b") as (a, _):
        assert (await a.peers.gather("name", {})).answers.keys() == {"a", "b"}

    work = watch.work("edge")
    assert work.refused == []
    assert work.unused(permissions.edge()) == [], "more is allowed than an edge asks for"
    assert watch.work("controller").refused == []


async def test_an_edge_that_is_there_before_the_first_tenant_waits_for_it(tmp_path: Path) -> None:
    async with fenced(tmp_path, ["acme"]) as server:
        edge = Edge(server.url, tmp_path, env=access("edge"))
        edge.spawn()
        try:

            async def asked() -> bool:
                return "STREAM.CREATE.KV_slipstream_tenants" in server.log.read_text()

            await wait_until(asked, seconds=15.0, what="the edge asks for the tenants' bucket")
            await command(server, "apply", "-f", "-", stdin=document("acme", retention={"max_bytes": "1MiB"}))
            await edge.wait_ready()
            assert (await _post(edge, "acme", b'{"topic":"a","data":1}')).status == 200
        finally:
            await edge.kill()


async def test_an_edge_makes_and_removes_nothing(nats: NatsServer) -> None:
    async with entered(nats, "edge") as held:
        await held.cannot_publish(
            [
                "$JS.API.STREAM.CREATE.SSE_new",
                "$JS.API.STREAM.CREATE.KV_slipstream_tenants",
                "$JS.API.STREAM.UPDATE.SSE_acme",
                "$JS.API.STREAM.UPDATE.KV_slipstream_leases",
                "$JS.API.STREAM.DELETE.SSE_acme",
                "$JS.API.STREAM.PURGE.SSE_acme",
                "$JS.API.STREAM.MSG.DELETE.SSE_acme",
                "$JS.API.STREAM.SNAPSHOT.SSE_acme",
                "$JS.API.STREAM.NAMES",
                "$JS.API.CONSUMER.NAMES.SSE_acme",
                "$KV.slipstream_tenants.acme",
                "$SYS.REQ.SERVER.PING",
            ]
        )


@pytest.mark.parametrize("user", ["edge", "controller"])
async def test_edge_and_controller_hear_their_inboxes_alone(nats: NatsServer, user: str) -> None:
    async with entered(nats, user) as held:
        await held.cannot_subscribe([">", "sse.>", "$KV.>", "$JS.API.>", "_INBOX_acme.>"])


async def test_the_controller_does_all_its_work(nats: NatsServer) -> None:
    watch = Watch(nats)
    made, changed = (document("brief", retention={"max_bytes": size}) for size in ("1MiB", "2MiB"))
    assert await command(nats, "apply", "-f", "-", stdin=made) == "tenant brief created\n"
    assert await command(nats, "apply", "-f", "-", stdin=changed) == "tenant brief configured\n"
    assert json.loads(await command(nats, "get", "brief", "-o", "json"))["status"]["stream"]["events"] == 0
    names = [line.split()[0] for line in (await command(nats, "list")).splitlines()]
    assert names == ["NAME", "acme", "brief", "other"]
    assert await command(nats, "delete", "brief", "--yes") == "tenant brief deleted\n"
    ada = ("-t", "acme", "--subject", "ada")
    assert (
        await command(nats, "revoke", *ada, "--reason", "laptop lost", group="token")
        == "subject ada of tenant acme revoked\n"
    )
    listed = (await command(nats, "revoked", "-t", "acme", group="token")).splitlines()
    assert [line.split()[:2] for line in listed] == [["KIND", "NAME"], ["subject", "ada"]]
    assert (
        await command(nats, "revoke", *ada, "--undo", group="token")
        == "subject ada of tenant acme is no longer revoked\n"
    )
    assert await command(nats, "revoked", "-t", "acme", group="token") == ""
    work = watch.work("controller")
    assert work.refused == []
    # Asked where a document is replaced under the reading of the list (by the code that the edges' test drives there),
    # and where there is no bucket yet, as when this module began.
    rare = ["$JS.API.STREAM.CREATE.*"]
    rare += [f"$JS.API.CONSUMER.INFO.KV_{bucket}.*" for bucket in (TENANTS_BUCKET, REVOCATIONS_BUCKET)]
    assert [pattern for pattern in work.unused(permissions.controller()) if pattern not in rare] == []


async def test_the_controller_has_no_part_in_the_events(nats: NatsServer) -> None:
    async with entered(nats, "controller") as held:
        await held.cannot_publish(
            [
                "sse.acme.orders.new",
                "$JS.API.STREAM.DELETE.KV_slipstream_tenants",
                "$JS.API.STREAM.UPDATE.KV_slipstream_tenants",
                "$JS.API.STREAM.DELETE.KV_slipstream_leases",
                "$KV.slipstream_leases.live.edge",
                "$JS.API.STREAM.PURGE.SSE_acme",
                "$JS.API.STREAM.MSG.GET.SSE_acme",
                "$JS.API.STREAM.MSG.DELETE.SSE_acme",
                "$JS.API.DIRECT.GET.SSE_acme",
                "$JS.API.CONSUMER.CREATE.SSE_acme.mine",
                "$JS.API.CONSUMER.MSG.NEXT.SSE_acme.mine",
                "$JS.API.CONSUMER.DELETE.SSE_acme.mine",
            ]
        )


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["--edge", "--controller"], 1),
        (["--edge", "--password-hash", HASH], 0),
        (["--edge", "--format", "json"], 1),
        (["--edge", "--format", "json", "--password-hash", HASH], 0),
    ],
)
async def test_a_placeholder_is_never_a_password(tmp_path: Path, arguments: list[str], status: int) -> None:
    text = printed(*arguments)
    path = tmp_path / "nats.conf"
    path.write_text(text if "json" in arguments else f"accounts {{\n{text}}}\n")
    process = await asyncio.create_subprocess_exec(nats_server_path(), "-t", "-c", path, stderr=asyncio.subprocess.PIPE)
    async with asyncio.timeout(10):
        _, told = await process.communicate()
    assert process.returncode == status, told


async def _status(edge: Edge, tenant: str, wanted: int) -> None:
    """Wait until the edge answers so for a tenant."""

    async def answers() -> bool:
        return (await call(edge.port, f"/v1/poll?tenant={tenant}")).status == wanted

    await wait_until(answers, seconds=10.0, what=f"{wanted} for {tenant}")


async def _post(edge: Edge, tenant: str, body: bytes) -> Answer:
    target = f"/v1/events?tenant={tenant}"
    return await call(edge.port, target, "Content-Type: application/x-ndjson", method="POST", body=body)


@asynccontextmanager
async def _stream(edge: Edge, query: str, *headers: str) -> AsyncIterator[Stream]:
    wire = await Wire.open(edge.port)
    try:
        await wire.send(request(f"/v1/events?tenant=acme&{query}", *headers))
        stream = Stream(wire, await wire.head())
        assert stream.head.status == 200
        await stream.one("stream.ready")
        yield stream
    finally:
        wire.close()
