"""Readers of `slipstream.client` in a load test, against a real server: what they count and how they return."""

import asyncio
import io
import os
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from loadtest.library import LOST, Library
from loadtest.roamed import END_OF_STREAM, RoamReport, roam_report
from loadtest.roamer import Plan
from slipstream.protocol.frame import LAST_CHUNK, chunk, encode, retry

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n"
SECONDS = 10.0


def frame(seq: int, name: str, data: bytes = b"{}") -> bytes:
    return chunk(encode(f"abcdefgh-{seq}-1kz", name, data))


def ready(seq: int) -> bytes:
    return HEAD + chunk(retry(20)) + frame(seq, "stream.ready")


def event(seq: int) -> bytes:
    return frame(seq, "", b'{"t":%d,"delay":95}' % time.monotonic_ns())


class Server:
    """Listens; the test writes the answers. requests: as they came."""

    def __init__(self) -> None:
        self.requests: list[str] = []
        self.writers: list[asyncio.StreamWriter] = []
        self._accepted: asyncio.Queue[asyncio.StreamWriter] = asyncio.Queue()

    async def took(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        self.requests.append((await reader.readuntil(b"\r\n\r\n")).decode())
        await self._accepted.put(writer)

    async def accept(self, answer: bytes) -> asyncio.StreamWriter:
        async with asyncio.timeout(SECONDS):
            writer = await self._accepted.get()
        writer.write(answer)
        return writer


class Readers:
    """The readers, their commands and reports."""

    def __init__(self, commands: int, reports: io.BytesIO) -> None:
        self._commands = commands
        self._reports = reports

    def command(self, text: str) -> None:
        os.write(self._commands, f"{text}\n".encode())

    async def report(self, wanted: Callable[[RoamReport], bool]) -> RoamReport:
        newest = None
        async with asyncio.timeout(SECONDS):
            while True:
                self.command("account")
                lines = [line for line in self._reports.getvalue().splitlines(keepends=True) if line.endswith(b"\n")]
                newest = roam_report(lines[-1]) if lines else None
                if newest and newest.counts and wanted(newest):
                    return newest
                await asyncio.sleep(0.01)


@pytest.fixture
async def server() -> AsyncIterator[tuple[Server, int]]:
    made = Server()
    listening = await asyncio.start_server(made.took, "127.0.0.1", 0)
    yield made, listening.sockets[0].getsockname()[1]
    listening.close()
    for writer in made.writers:
        writer.transport.abort()
    await asyncio.sleep(0)  # An aborted transport closes its socket in the next turn of the loop.


@asynccontextmanager
async def readers(port: int, monkeypatch: pytest.MonkeyPatch, **others: Any) -> AsyncIterator[Readers]:
    theirs, ours = os.pipe()
    reports = io.BytesIO()
    plan = Plan("127.0.0.1", [port], [0], ["/v1/events?topic=x&tenant=acme"], 1000.0, **others)
    with os.fdopen(theirs) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        running = asyncio.create_task(Library(plan, reports).run(), name="library")
        try:
            yield Readers(ours, reports)
        finally:
            os.close(ours)
            async with asyncio.timeout(SECONDS):
                await running


async def test_it_leaves_a_pod_that_drains_and_comes_back_with_its_last_id(
    server: tuple[Server, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    pod, port = server
    async with readers(port, monkeypatch) as running:
        first = await pod.accept(ready(7) + event(8) + event(9) + frame(9, "stream.drain", b'{"retry_ms":20}'))
        first.write(LAST_CHUNK)
        await pod.accept(ready(9) + event(10))
        found = await running.report(lambda report: report.roamed.events == 3)
    assert pod.requests[0].startswith("GET /v1/events?topic=x&tenant=acme HTTP/1.1\r\n")
    assert "Last-Event-ID" not in pod.requests[0]
    assert "Last-Event-ID: abcdefgh-9-1kz\r\n" in pod.requests[1]
    assert (found.counts, found.live, found.away, found.roamed.opened) == ([3], 1, 0, 2)
    assert (found.roamed.ended, found.roamed.failed) == ({END_OF_STREAM: 1}, {})
    seen = found.roamed.inspected
    assert (seen.events, seen.disordered, seen.missing, seen.duplicated, seen.gaps) == (3, 0, 0, 0, 0)


async def test_a_lost_connection_and_a_refusal_are_counted_and_it_is_away_meanwhile(
    server: tuple[Server, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    pod, port = server
    async with readers(port, monkeypatch) as running:
        first = await pod.accept(ready(7) + event(8))
        await running.report(lambda report: report.live == 1 and report.counts == [1])
        first.transport.abort()
        await running.report(lambda report: report.away == 1)
        await pod.accept(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")
        await pod.accept(ready(8) + event(9))
        found = await running.report(lambda report: report.counts == [2])
    assert (found.live, found.roamed.ended) == (1, {LOST: 1})
    assert found.roamed.failed == {"an attempt of slipstream.client": 1}


async def test_what_is_left_out_is_missing_unless_a_gap_tells_it(
    server: tuple[Server, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    pod, port = server
    async with readers(port, monkeypatch) as running:
        first = await pod.accept(ready(7) + event(8) + event(11) + frame(20, "stream.gap") + event(21))
        found = await running.report(lambda report: report.counts == [3])
        assert (found.roamed.inspected.missing, found.roamed.inspected.gaps) == (2, 1)
        first.transport.abort()
        await pod.accept(ready(21) + event(24))
        found = await running.report(lambda report: report.counts == [4])
    assert found.roamed.inspected.missing == 4, "a hole between two connections"


async def test_a_broken_order_is_counted_and_the_reader_stays_away(
    server: tuple[Server, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    pod, port = server
    async with readers(port, monkeypatch) as running:
        await pod.accept(ready(7) + event(9) + event(8))
        found = await running.report(lambda report: bool(report.roamed.failed))
    assert (found.live, found.away, found.roamed.inspected.disordered) == (0, 1, 1)
    (reason,) = found.roamed.failed
    assert reason.startswith("given up: OrderViolation: event abcdefgh-8-1kz came after abcdefgh-9-1kz")


async def test_a_stream_that_churn_closes_is_followed_by_another_that_goes_on(
    server: tuple[Server, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    pod, port = server
    async with readers(port, monkeypatch, away=0.05) as running:
        await pod.accept(ready(7) + event(8))
        await running.report(lambda report: report.counts == [1])
        running.command("churn 20")
        await running.report(lambda report: report.roamed.churned == 1)
        running.command("churn 0")
        await pod.accept(ready(8) + event(9))
        found = await running.report(lambda report: report.counts == [2])
    assert "Last-Event-ID: abcdefgh-8-1kz\r\n" in pod.requests[1]
    assert (found.roamed.opened, found.roamed.churned, found.roamed.ended) == (2, 1, {})
