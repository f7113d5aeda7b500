"""One connection that works or is replaced, and what it says while there is none."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from slipstream.jetstream import link as links
from slipstream.jetstream.client import Client
from slipstream.jetstream.link import Access, Link
from slipstream.log.source import State
from slipstream.protocol.errors import Code, SlipstreamError
from slipstream.protocol.topic import Filters
from tests.contract.pod import Pod, flights, following, freeze, until
from tests.servers import HOST, NatsServer, free_port


async def test_before_it_is_open_whoever_asks_is_told_to_come_back() -> None:
    pod = Pod(f"nats://{HOST}:{free_port()}")
    source = pod.source("acme")
    questions = (
        source.state(),
        source.read(">", 0, 10),
        source.last_match(">"),
        anext(source.snapshot(Filters.parse([]))),
        pod.publisher.publish("acme", "orders", b"1"),
    )
    for question in questions:
        with pytest.raises(SlipstreamError, match="not answered yet") as refused:
            await question
        assert (refused.value.code, refused.value.retry_after) == (Code.UPSTREAM_UNAVAILABLE, 2.0)
    assert not pod.link.up
    await pod.link.close()


async def test_it_waits_for_a_server_that_comes_later(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    server = NatsServer(tmp_path)
    link = Link(Access((server.url,)), "early")
    opening = asyncio.create_task(link.open())
    await until(lambda: "waiting for it" in caplog.text, "it says that it waits")
    async with server:
        await asyncio.wait_for(opening, 5.0)
        assert link.up
        await link.close()
    lines = [record.getMessage() for record in caplog.records if "waiting for it" in record.getMessage()]
    assert len(lines) == len(set(lines)), "it repeats itself"
    assert server.url in lines[0]


async def test_a_dead_read_loop_is_replaced_and_the_feed_goes_on(
    pod: Pod, tenant: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with following(pod, tenant) as sink:
        dead = pod.feed_link.client
        assert dead._reading_task is not None
        dead._reading_task.cancel()
        await until(lambda: not dead.reading, "the read loop is dead")
        assert dead.is_connected, "which nats-py does not notice"
        assert not pod.feed_link.up
        await pod.publish(tenant, flights(10))
        await sink.has(10)
        assert pod.feed_link.client is not dead
        assert pod.feed_link.replaced == 1
        await until(lambda: dead.is_closed, "the dead one is closed")
    assert "pod-feed: its read loop has ended" in caplog.text, "it was noticed by its silence, seconds later"
    assert sink.seqs == list(range(1, 11))
    assert sink.reasons == [None]


async def test_direct_get_moves_to_the_new_connection(pod: Pod, tenant: str) -> None:
    source = pod.source(tenant)
    await pod.publish(tenant, flights(3))
    assert len((await source.read(">", 0, 10)).records) == 3
    dead = pod.link.client
    assert dead._reading_task is not None
    dead._reading_task.cancel()
    await until(lambda: pod.link.client is not dead, "the connection is replaced")
    assert len((await source.read(">", 0, 10)).records) == 3


async def test_direct_get_survives_a_reconnect(nats: NatsServer, pod: Pod, tenant: str) -> None:
    source = pod.source(tenant)
    await pod.publish(tenant, flights(3))
    assert len((await source.read(">", 0, 10)).records) == 3
    client = pod.link.client
    await nats.kill()
    await nats.start()
    await until(lambda: client.is_connected, "nats-py reconnects")
    assert len((await source.read(">", 0, 10)).records) == 3
    assert pod.link.client is client


async def test_a_reconnect_counts_as_having_heard(nats: NatsServer) -> None:
    """Else the watch replaces a connection that just came back, for the silence of the one before it."""
    link = Link(Access((nats.url,)), "unwatched")
    await link.open()
    link.client.heard_at -= 60.0
    await nats.kill()
    await until(lambda: not link.client.is_connected, "it is down")
    await nats.start()
    await until(lambda: link.client.is_connected, "it is back")
    assert [link._fault(time.monotonic()) for _ in range(3)] == [None, None, None]
    await link.close()


async def test_what_the_watch_looks_for(nats: NatsServer) -> None:
    link = Link(Access((nats.url,)), "unwatched")
    await link.open()
    now = time.monotonic()
    assert link._fault(now) is None
    link.client.heard_at = now - 6.0
    assert link._fault(now) is None, "after a stall of our own loop the first look is old news"
    assert link._fault(now) == "nothing heard for 6.0 s"
    link.client.heard_at = now
    assert link._fault(now) is None
    await nats.kill()
    await until(lambda: not link.client.is_connected, "it is down")
    assert link._fault(now) is None
    assert link._fault(now + 9.0) is None
    assert link._fault(now + 11.0) == "reconnecting for 11 s"
    # nats-py may raise the cancellation of its own reconnect out of here.
    await asyncio.wait({asyncio.create_task(link.client.close())})
    assert link._fault(now) == "closed"
    await link.close()


async def test_listeners_are_told_of_a_reconnect_until_they_take_it_back(nats: NatsServer) -> None:
    link = Link(Access((nats.url,)), "told")
    await link.open()
    told: list[str] = []
    link.on_restored(lambda: told.append("stays"))
    forget = link.on_restored(lambda: told.append("goes"))
    forget()
    await nats.kill()
    await nats.start()
    await until(lambda: bool(told), "somebody is told")
    assert told == ["stays"]
    await link.close()


async def test_a_request_that_is_cancelled_as_its_answer_comes_is_cancelled(
    nats: NatsServer, pod: Pod, tenant: str
) -> None:
    """`asyncio.wait_for` of Python 3.11, by which nats-py waits, returns the answer and forgets who wanted to end."""
    source = pod.source(tenant)
    await source.state()
    await freeze(nats)
    asking = asyncio.create_task(source.state())
    waiting = pod.link.client._resp_map
    await until(lambda: bool(waiting), "the request is out")
    (answer,) = waiting.values()
    answer.add_done_callback(lambda _: asking.cancel())
    nats.resume()
    with pytest.raises(asyncio.CancelledError):
        await asking


async def test_nothing_is_left_after_it_was_closed(nats: NatsServer) -> None:
    before = asyncio.all_tasks()
    async with Pod(nats.url) as pod:
        await pod.ensure("leftovers")
        assert len(asyncio.all_tasks()) > len(before)
    await until(lambda: asyncio.all_tasks() == before, "every task has ended")


async def test_it_enters_with_its_password_and_says_when_it_may_not(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with NatsServer(tmp_path, config='authorization { user: "edge", password: "secret" }') as server:
        right = Link(Access((server.url,), user="edge", password="secret"), "right")
        await asyncio.wait_for(right.open(), 5.0)
        assert right.up
        await right.close()
        wrong = Link(Access((server.url,), user="edge", password="wrong"), "wrong")
        opening = asyncio.create_task(wrong.open())
        await until(lambda: "Authorization Violation" in caplog.text, "it says why it waits")
        opening.cancel()
        await asyncio.wait({opening})
        await wrong.close()
        named = Link(Access((server.url.replace("//", "//edge:secreter@"),)), "named")
        told = len(caplog.records)
        opening = asyncio.create_task(named.open())
        await until(lambda: len(caplog.records) > told, "it says why, and not with what")
        opening.cancel()
        await asyncio.wait({opening})
        await named.close()
    assert "secret" not in caplog.text
    assert "password" not in caplog.text


async def test_a_request_of_a_cancelled_task_that_cleans_up_is_answered(pod: Pod, tenant: str) -> None:
    """Only a cancellation that comes while it waits ends it."""
    answers: list[State] = []
    source = pod.source(tenant)

    async def hold() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            answers.append(await source.state())

    holding = asyncio.create_task(hold())
    await asyncio.sleep(0)
    holding.cancel()
    await asyncio.wait({holding}, timeout=5.0)
    assert len(answers) == 1


async def test_a_connect_that_is_cancelled_at_any_moment_is_cancelled(nats: NatsServer) -> None:
    """`asyncio.wait_for` of Python 3.11 would connect and forget that somebody wanted to end."""
    loop = asyncio.get_running_loop()
    moments = 0
    while True:
        link = Link(Access((nats.url,)), "cancelled")
        opening = asyncio.create_task(link.open())
        for _ in range(moments):
            # One turn of the loop, in which something happens: the selector waits for it.
            turn = loop.create_future()
            loop.call_later(0.00005, turn.set_result, None)
            await turn
        if opening.done():
            await link.close()
            break
        opening.cancel()
        done, _ = await asyncio.wait({opening}, timeout=5.0)
        assert done
        assert opening.cancelled(), f"forgotten after {moments} turns"
        moments += 1
    assert moments


class Way:
    """A TCP proxy to a server. Once `forth` or `back` is cleared, that direction swallows all: nobody hears of it."""

    def __init__(self) -> None:
        self.port = free_port()
        self.forth, self.back = asyncio.Event(), asyncio.Event()
        self.forth.set()
        self.back.set()

    @classmethod
    @asynccontextmanager
    async def to(cls, target: int) -> AsyncIterator["Way"]:
        way = cls()
        tasks: list[asyncio.Task[None]] = []
        writers: list[asyncio.StreamWriter] = []

        async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            far_reader, far_writer = await asyncio.open_connection(HOST, target)
            writers.extend((writer, far_writer))
            for source, sink, fair in ((reader, far_writer, way.forth), (far_reader, writer, way.back)):
                tasks.append(asyncio.create_task(pump(source, sink, fair)))

        async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter, fair: asyncio.Event) -> None:
            with suppress(ConnectionError):
                while block := await source.read(65536):
                    if fair.is_set():
                        sink.write(block)
            sink.close()

        async with await asyncio.start_server(carry, HOST, way.port):
            yield way
            for task in tasks:
                task.cancel()
            for writer in writers:
                writer.close()
            closing = (writer.wait_closed() for writer in writers)
            await asyncio.gather(*tasks, *closing, return_exceptions=True)


@pytest.mark.parametrize("broken", [("back",), ("forth",), ("forth", "back")], ids=["deaf", "mute", "both"])
async def test_a_black_hole_is_noticed_in_each_direction(
    nats: NatsServer, tenant: str, broken: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Times a fifth of the real ones. Where it is only not heard, heartbeats still come: nats-py misses its PONGs."""
    monkeypatch.setattr(links, "_UNHEARD_SECONDS", 1.0)
    monkeypatch.setattr(links, "_PING_SECONDS", 0.4)
    async with (
        Way.to(nats.port) as way,
        Pod(f"nats://{HOST}:{way.port}", "behind") as pod,
        Pod(nats.url, "beside") as beside,
        following(pod, tenant) as sink,
    ):
        await beside.publish(tenant, flights(3))
        await sink.has(3)
        lost = pod.feed_link.client
        for direction in broken:
            getattr(way, direction).clear()
        await until(lambda: pod.feed_link.client is not lost or not lost.is_connected, "it is noticed", seconds=5.0)
        await beside.publish(tenant, flights(3))
        way.forth.set()
        way.back.set()
        await sink.has(6)
    assert sink.seqs == list(range(1, 7))
    assert sink.reasons == [None]


@asynccontextmanager
async def neighbours(folder: Path) -> AsyncIterator[list[NatsServer]]:
    """Two servers of a cluster, with a password."""
    ports = [free_port(), free_port()]
    routes = ", ".join(f'"nats://{HOST}:{port}"' for port in ports)
    servers = [
        NatsServer(
            folder,
            name=f"neighbour-{number}",
            config=f'authorization {{ user: "edge", password: "secret" }}\n'
            f'cluster {{ name: two, listen: "{HOST}:{port}", routes: [{routes}] }}',
        )
        for number, port in enumerate(ports)
    ]
    try:
        for server in servers:
            server.spawn()
        for server in servers:
            await server.wait_ready()
        yield servers
    finally:
        for server in servers:
            if server.alive:
                await server.kill()


async def test_one_address_is_enough_for_a_cluster(tmp_path: Path) -> None:
    """Servers tell of one another, without the password; a connection that replaces another one knows them, too."""
    async with neighbours(tmp_path) as (first, second):
        link = Link(Access((f"nats://edge:secret@{HOST}:{first.port}",)), "told")
        await link.open()
        watch = asyncio.create_task(link.run())
        await until(lambda: bool(link.client.discovered), "it is told of the other")
        dead = link.client
        await first.kill()
        await until(lambda: link.up and link.client.address == (HOST, second.port), "it is at the other")
        assert dead._reading_task is not None
        dead._reading_task.cancel()
        await until(lambda: link.client is not dead and link.up, "it is replaced, at the only server that is left")
        assert link.client.address == (HOST, second.port)
        watch.cancel()
        await asyncio.wait({watch})
        await link.close()


async def test_it_moves_only_to_another_server_that_is_better(tmp_path: Path, nats: NatsServer) -> None:
    asked: list[tuple[Client, Client]] = []
    answers = [False, True]

    async def better(fresh: Client, old: Client) -> bool:
        asked.append((fresh, old))
        return answers.pop(0)

    alone = Link(Access((nats.url,)), "alone")
    await alone.open()
    assert not await alone.move(better)
    assert not asked, "there is no other server"
    await alone.close()
    async with neighbours(tmp_path) as servers:
        link = Link(Access(tuple(f"nats://edge:secret@{HOST}:{server.port}" for server in servers)), "moved")
        told: list[str] = []
        link.on_restored(lambda: told.append("anew"))
        await link.open()
        old = link.client
        assert not await link.move(better)
        assert (link.client, link.replaced, told) == (old, 0, [])
        assert await link.move(better)
        assert (link.replaced, told) == (1, ["anew"])
        assert link.client.server_id != old.server_id
        assert [one for _, one in asked] == [old, old]
        await until(lambda: old.is_closed and asked[0][0].is_closed, "the others are closed")
        await link.close()


def test_the_login_of_the_urls_is_for_servers_that_come_without() -> None:
    assert Access(("nats://a:1",)).login() == {}
    assert Access(("nats://u:p@a:1", "nats://u:p@b:1")).login() == {"user": "u", "password": "p"}
    assert Access(("nats://u:p@a:1", "nats://v:p@b:1")).login() == {}, "each has its own"
    assert Access(("nats://token@a:1",)).login() == {"token": "token"}
    assert Access(("nats://u:p@a:1",), user="w", password="q").login() == {"user": "w", "password": "q"}
    assert Access(("nats://u:p@a:1",), creds="file").login() == {}
