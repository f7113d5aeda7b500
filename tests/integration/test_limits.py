"""Limits of one process, each with a clear answer: addresses, crowds, bodies under way, polls, memory."""

import asyncio
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from slipstream.app import Running
from slipstream.jetstream.subjects import stream_of
from slipstream.telemetry.logs import JsonFormatter
from tests.integration.answers import EVENT_SOURCE, JSON, plain_status, problem, short_stream
from tests.integration.cluster import Cluster
from tests.integration.test_publish_poll import poll, post
from tests.integration.wire import Answer, Wire, call, request, until

LOOPS = ("uvloop",)
PROXIES: dict[str, Any] = {"trusted_proxies": "127.0.0.0/8, 10.0.0.0/8"}


def behind(*addresses: str) -> str:
    return f"X-Forwarded-For: {', '.join(addresses)}"


def too_many(answer: Answer) -> None:
    assert "connections to this process" in problem(answer, 429, "QUOTA_EXCEEDED")
    assert int(answer.headers["retry-after"]) >= 1


async def waiting_poll(cluster: Cluster, running: Running, *headers: str, wait: int = 30) -> Wire:
    """A poll that has its place, and waits."""
    before = in_use(cluster, running)
    wire = await cluster.wire(running.server.port)
    await wire.send(request(cluster.target(f"wait={wait}", "/v1/poll"), *headers))
    await until(lambda: in_use(cluster, running) == before + 1, "the poll has its place")
    return wire


def in_use(cluster: Cluster, running: Running) -> int:
    shares: Any = running.services.admission.document()["shares"]
    return int(shares.get(f"quota.{cluster.tenant}", {}).get("in_use", 0))


async def test_an_address_has_so_many_streams_and_polls(cluster: Cluster) -> None:
    async with cluster.edge(connections_per_address=2, **PROXIES) as running:
        port, one = running.server.port, behind("198.51.100.1")
        stream = await cluster.opened(port, "", one)
        polling = await waiting_poll(cluster, running, one)
        too_many(await call(port, cluster.target(), one))
        too_many(await call(port, cluster.target("wait=1", "/v1/poll"), one))
        # What it writes in front of what our proxies add does not help, nor does going by another of them.
        too_many(await call(port, cluster.target(), behind("192.0.2.1", "198.51.100.1")))
        too_many(await call(port, cluster.target(), behind("192.0.2.1", "198.51.100.1", "10.1.1.1")))
        short_stream(await call(port, cluster.target(), one, EVENT_SOURCE), "QUOTA_EXCEEDED")
        other = await cluster.opened(port, "", behind("198.51.100.2"))
        found = {session.address async for session in running.services.sessions.walk()}
        assert found == {"198.51.100.1", "198.51.100.2"}
        stream.wire.close()
        await until(lambda: len(running.services.hub.reactor) == 1, "one has left")
        await cluster.opened(port, "", one)
        await cluster.put("a", b"x")
        assert (await polling.answer()).json["events"][0]["data"] == "x"
        await cluster.opened(port, "", one)
        assert (await other.published(1))[0].data == "x"


async def test_an_ipv6_client_is_its_network(cluster: Cluster) -> None:
    async with cluster.edge(connections_per_address=1, **PROXIES) as running:
        await cluster.opened(running.server.port, "", behind("2001:db8::1"))
        too_many(await call(running.server.port, cluster.target(), behind("2001:db8::2")))
        await cluster.opened(running.server.port, "", behind("2001:db8:0:1::1"))


async def test_without_trusted_proxies_nobody_is_believed(cluster: Cluster) -> None:
    async with cluster.edge(connections_per_address=1) as running:
        await cluster.opened(running.server.port, "", behind("198.51.100.1"))
        too_many(await call(running.server.port, cluster.target(), behind("198.51.100.2")))
        assert [session.address async for session in running.services.sessions.walk()] == ["127.0.0.1"]


async def test_a_poll_that_waits_takes_a_place_of_the_tenant_and_gives_it_back(cluster: Cluster) -> None:
    await cluster.apply(quotas={"connections": 1})
    async with cluster.edge() as running:
        port = running.server.port
        polling = await waiting_poll(cluster, running)
        problem(await call(port, cluster.target()), 429, "QUOTA_EXCEEDED")
        problem(await call(port, cluster.target(path="/v1/poll")), 429, "QUOTA_EXCEEDED")
        await cluster.put("a", b"x")
        assert (await polling.answer()).status == 200
        await until(lambda: not in_use(cluster, running), "given back")
        # One that leaves while it waits gives its place back, too.
        (await waiting_poll(cluster, running)).reset()
        await until(lambda: not in_use(cluster, running), "given back")


async def test_polls_count_in_the_tenants_connect_rate(cluster: Cluster) -> None:
    await cluster.apply(quotas={"connect_rate": 1})
    async with cluster.edge() as running:
        polls = (call(running.server.port, cluster.target(path="/v1/poll")) for _ in range(10))
        statuses = [answer.status for answer in await asyncio.gather(*polls)]
        assert set(statuses) == {200, 429}, statuses


async def test_a_crowd_of_all_tenants_is_told_to_come_back(cluster: Cluster) -> None:
    async with cluster.edge(connect_rate=2) as running:
        port = running.server.port
        answers = await asyncio.gather(*(call(port, cluster.target(path="/v1/poll")) for _ in range(30)))
        refused = [answer for answer in answers if answer.status != 200]
        assert 20 <= len(refused) <= 28
        for answer in refused:
            plain_status(answer, "OVERLOADED")

        async def short() -> Answer | None:
            """What a stream is told that is not let in."""
            wire = await cluster.wire(port)
            await wire.send(request(cluster.target(), EVENT_SOURCE))
            head = await wire.head()
            return None if head.chunked else Answer(head.status, head.headers, await wire.rest())

        told = [answer for answer in await asyncio.gather(*(short() for _ in range(20))) if answer is not None]
        assert len(told) >= 10
        for answer in told:
            short_stream(answer, "OVERLOADED")


BODY = 40_000


async def publishing(cluster: Cluster, running: Running, tenant: str, *headers: str) -> Wire:
    """A publish whose head is sent, and of whose body nothing."""
    wire = await cluster.wire(running.server.port)
    await wire.send(request(f"/v1/events?tenant={tenant}", JSON, *headers, method="POST"))
    return wire


async def test_bodies_under_way_have_a_bound_and_no_tenant_has_it_all(cluster: Cluster) -> None:
    other = f"{cluster.tenant}-b"
    await cluster.make(other)
    async with cluster.edge(publish_inflight=3 * BODY, event_bytes=BODY) as running:
        await until(lambda: running.services.registry.get(other) is not None, "the other is known")
        bodies, length = running.services.bodies, f"Content-Length: {BODY}"
        first = await publishing(cluster, running, cluster.tenant, length)
        await until(lambda: bodies.total == BODY, "the first has its room")
        # Refused before a byte of its body has come.
        second = await publishing(cluster, running, cluster.tenant, length)
        plain_status(await second.answer(), "OVERLOADED")
        # What does not say how large it is counts as large as it may be.
        for header in ("Transfer-Encoding: chunked", f"Content-Encoding: gzip\r\n{length}"):
            plain_status(await (await publishing(cluster, running, cluster.tenant, header)).answer(), "OVERLOADED")
        theirs = await publishing(cluster, running, other, length)
        await until(lambda: bodies.total == 2 * BODY, "another tenant has room")
        event = json.dumps({"topic": "a", "data": "x"}).encode().ljust(BODY)
        for wire in (first, theirs):
            await wire.send(event)
            assert (await wire.answer()).status == 200
        assert bodies.document() == {"held": 0, "limit": 3 * BODY}
        assert (await post(cluster, running, topic="a", data="y"))["seq"] == 2
        # Who leaves in the middle holds nothing either.
        leaving = await publishing(cluster, running, cluster.tenant, length)
        await until(lambda: bodies.total == BODY, "room is held")
        leaving.reset()
        await until(lambda: bodies.total == 0, "and given back")


async def test_with_too_little_memory_what_is_new_is_refused_and_what_is_open_stays(cluster: Cluster) -> None:
    async with cluster.edge(memory_limit=1 << 40) as running:
        port = running.server.port
        stream = await cluster.opened(port)
        assert (await status(running))["memory"]["shedding"] is False
        memory = running.services.memory
        memory.limit = memory.used
        await until(lambda: memory.shedding, "it is noticed")
        short_stream(await call(port, cluster.target(), EVENT_SOURCE), "OVERLOADED")
        event = b'{"topic":"a","data":1}'
        plain_status(await call(port, cluster.target(), JSON, method="POST", body=event), "OVERLOADED")
        plain_status(await call(port, cluster.target(path="/v1/poll")), "OVERLOADED")
        document = (await status(running))["memory"]
        assert document["shedding"] is True
        assert document["limit"] == memory.limit
        await cluster.put("a", b"still")
        assert (await stream.published(1))[0].data == "still"
        assert (await call(running.server.admin_port, "/readyz")).status == 200, "every pod would go at once"
        memory.limit *= 2
        await until(lambda: not memory.shedding, "it is over")
        await cluster.opened(port)


async def test_a_memory_limit_is_a_setting(cluster: Cluster) -> None:
    async with cluster.edge(memory_limit=1) as running:
        await until(lambda: running.services.memory.shedding, "it sheds")
        plain_status(await call(running.server.port, cluster.target()), "OVERLOADED")


async def status(running: Running) -> Any:
    return (await call(running.server.admin_port, "/statusz")).json


class Lines(logging.Handler):
    """What would be written, formatted where it is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(JsonFormatter())
        self.lines: list[dict[str, str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(json.loads(self.format(record)))


@contextmanager
def logged(level: int = logging.INFO) -> Iterator[list[dict[str, str]]]:
    """The lines of the package while the block runs."""
    lines, logger = Lines(), logging.getLogger("slipstream")
    before = logger.level
    logger.addHandler(lines)
    logger.setLevel(level)
    try:
        yield lines.lines
    finally:
        logger.removeHandler(lines)
        logger.setLevel(before)


async def test_a_line_says_whose_request_and_which_trace_it_is_about(
    cluster: Cluster, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with cluster.edge() as running:

        async def fail(*_: object) -> None:
            raise RuntimeError("out of order")

        monkeypatch.setattr(running.services.store, "publish_many", fail)
        wire = await cluster.wire(running.server.port)
        with logged() as lines:
            trace = "4bf92f3577b34da6a3ce929d0e0e4736"
            header = f"traceparent: 00-{trace}-00f067aa0ba902b7-01"
            body = b'{"topic":"a","data":1}'
            await wire.send(
                request(cluster.target(), JSON, header, f"Content-Length: {len(body)}", method="POST") + body
            )
            assert (await wire.answer()).status == 500
            # The next request on the connection is somebody else's.
            await wire.send(request("/v1/nothing"))
            assert (await wire.answer()).status == 404
            logging.getLogger("slipstream").info("outside")
        caplog.clear()
        failed, outside = lines
        assert (failed["tenant"], failed["trace_id"]) == (cluster.tenant, trace)
        assert "RuntimeError: out of order" in failed["exception"]
        assert outside.keys() == {"time", "level", "logger", "message"}


async def test_a_feed_logs_in_its_tenants_name_and_in_that_of_no_request(cluster: Cluster) -> None:
    async with cluster.edge(warm=False) as running:
        stream = await cluster.opened(running.server.port)
        with logged() as lines:
            await cluster.api.request(f"$JS.API.STREAM.DELETE.{stream_of(cluster.tenant)}", b"")
            await cluster.make(cluster.tenant)
            assert (await stream.take())[0].event == "stream.gap"
        feed = [line for line in lines if line["logger"] == "slipstream.jetstream.feed"]
        assert feed, lines
        assert all(line["tenant"] == cluster.tenant and "trace_id" not in line for line in feed)
        assert await poll(cluster, running)
