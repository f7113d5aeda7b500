"""Clients that come back by themselves, against real servers: where they go, with which id, and what they count."""

import io
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from loadtest.roamed import RoamReport, roam_report
from loadtest.roamer import Plan
from loadtest.roaming import Roaming
from slipstream.protocol.frame import LAST_CHUNK, chunk, encode, retry

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n"
SECONDS = 10.0


def ready(seq: int, retry_ms: int = 20) -> bytes:
    return HEAD + chunk(retry(retry_ms) + encode(f"abcdefgh-{seq}-1kz", "stream.ready", b"{}"))


def event(seq: int, ns: int | None = None) -> bytes:
    stamp = time.monotonic_ns() if ns is None else ns
    return chunk(encode(f"abcdefgh-{seq}-1kz", "", b'{"t":%d,"delay":95}' % stamp))


@dataclass
class Pod:
    """A listening socket; the test writes the answers."""

    listener: socket.socket
    requests: list[str] = field(default_factory=list)
    accepted: list[socket.socket] = field(default_factory=list)

    def accept(self) -> socket.socket:
        connection, _ = self.listener.accept()
        connection.settimeout(SECONDS)
        self.accepted.append(connection)
        self.requests.append(connection.recv(4096).decode())
        return connection


@dataclass
class Clients:
    commands: int
    reports: io.BytesIO
    thread: threading.Thread

    def report(self, wanted: Callable[[RoamReport], bool], command: str = "report") -> RoamReport:
        until = time.monotonic() + SECONDS
        newest = None
        while time.monotonic() < until:
            os.write(self.commands, f"{command}\n".encode())
            lines = [line for line in self.reports.getvalue().splitlines(keepends=True) if line.endswith(b"\n")]
            newest = roam_report(lines[-1]) if lines else None
            if newest and wanted(newest):
                return newest
            time.sleep(0.01)
        raise AssertionError(f"no such report within {SECONDS} s; the newest: {newest}")


@pytest.fixture
def pods() -> Iterator[list[Pod]]:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
        made = [Pod(one), Pod(other)]
        for pod in made:
            pod.listener.settimeout(SECONDS)
        yield made
        for connection in [*made[0].accepted, *made[1].accepted]:
            connection.close()


@contextmanager
def clients(pods: list[Pod], count: int = 1, **others: Any) -> Iterator[Clients]:
    ports = [pod.listener.getsockname()[1] for pod in pods]
    plan = Plan("127.0.0.1", ports, list(range(count)), ["/v1/events?topic=x"] * count, 1000.0, **others)
    theirs, ours = os.pipe()
    reports = io.BytesIO()
    thread = threading.Thread(target=Roaming(plan, theirs, reports).run, name="roaming")
    thread.start()
    try:
        yield Clients(ours, reports, thread)
    finally:
        os.close(ours)
        thread.join(SECONDS)
        os.close(theirs)
        assert not thread.is_alive()


def test_a_client_comes_back_to_another_pod_with_its_last_id(pods: list[Pod]) -> None:
    with clients(pods, inspect=True) as running:
        first = pods[0].accept()
        first.sendall(ready(7) + event(8) + event(9))
        running.report(lambda report: report.roamed.events == 2)
        first.sendall(LAST_CHUNK)
        first.shutdown(socket.SHUT_WR)
        second = pods[1].accept()
        second.sendall(ready(9) + event(10))
        found = running.report(lambda report: report.roamed.events == 3, "account")
    assert "Last-Event-ID" not in pods[0].requests[0]
    assert "Last-Event-ID: abcdefgh-9-1kz\r\n" in pods[1].requests[0]
    assert (found.counts, found.live, found.away) == ([3], 1, 0)
    assert found.roamed.ended == {"end of stream": 1}
    seen = found.roamed.inspected
    assert (seen.events, seen.disordered, seen.missing, seen.duplicated, seen.gaps) == (3, 0, 0, 0, 0)


def test_a_cut_frame_is_not_counted_and_comes_again(pods: list[Pod]) -> None:
    cut = event(9)
    with clients(pods) as running:
        first = pods[0].accept()
        first.sendall(ready(7) + event(8) + cut[: len(cut) // 2 + 20])
        assert b'data: {"t":' in cut[: len(cut) // 2 + 20]
        running.report(lambda report: report.roamed.events == 1)
        first.close()
        second = pods[1].accept()
        second.sendall(ready(8) + event(9))
        found = running.report(lambda report: report.roamed.events >= 2, "account")
    assert "Last-Event-ID: abcdefgh-8-1kz\r\n" in pods[1].requests[0]
    assert found.counts == [2]


def test_an_event_that_comes_again_on_another_connection_is_duplicated(pods: list[Pod]) -> None:
    with clients(pods, inspect=True) as running:
        first = pods[0].accept()
        first.sendall(ready(7) + event(8) + event(9))
        running.report(lambda report: report.roamed.events == 2)
        first.close()
        pods[1].accept().sendall(ready(8) + event(9))
        found = running.report(lambda report: report.roamed.events == 3)
    assert found.roamed.inspected.duplicated == 1


def test_what_was_published_while_it_was_away_is_no_latency(pods: list[Pod]) -> None:
    before = time.monotonic_ns()
    with clients(pods, inspect=True) as running:
        stream = pods[0].accept()
        stream.sendall(ready(7))
        running.report(lambda report: report.live == 1)
        stream.sendall(event(8, before) + event(9) + event(10))
        found = running.report(lambda report: report.roamed.events == 3)
    assert (found.roamed.missed.count, found.roamed.inspected.latency.count) == (1, 2)


def test_the_time_that_the_pod_asks_for_is_waited(pods: list[Pod]) -> None:
    with clients(pods):
        first = pods[0].accept()
        first.sendall(ready(7, retry_ms=400))
        time.sleep(0.1)
        closed = time.monotonic()
        first.close()
        pods[1].accept()
        assert time.monotonic() - closed >= 0.38


def test_a_refused_client_tries_another_pod_and_is_counted(pods: list[Pod]) -> None:
    with clients(pods) as running:
        refusing = pods[0].accept()
        refusing.sendall(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")
        pods[1].accept().sendall(ready(7))
        found = running.report(lambda report: report.live == 1)
    assert found.roamed.failed == {"answer HTTP/1.1 503 Service Unavailable": 1}
    assert found.roamed.opened == 1


def test_churn_closes_connections_that_come_back(pods: list[Pod]) -> None:
    with clients(pods[:1], 2, away=0.05) as running:
        for connection in (pods[0].accept(), pods[0].accept()):
            connection.sendall(ready(7))
        running.report(lambda report: report.live == 2)
        os.write(running.commands, b"churn 20\n")
        pods[0].accept().sendall(ready(7))
        os.write(running.commands, b"churn 0\n")
        found = running.report(lambda report: report.roamed.churned >= 1)
    assert "Last-Event-ID: abcdefgh-7-1kz\r\n" in pods[0].requests[2]
    assert not found.roamed.ended


def test_a_slow_reader_takes_a_little_every_second(pods: list[Pod]) -> None:
    block = b"".join(event(seq) for seq in range(8, 200))
    with clients(pods[:1], bytes_per_second=500) as running:
        stream = pods[0].accept()
        stream.sendall(ready(7))
        running.report(lambda report: report.live == 1)
        stream.sendall(block)
        found = running.report(lambda report: report.roamed.reads == 0 and report.roamed.events >= 5)
        assert found.roamed.events < 192
        later = running.report(lambda report: report.roamed.events > found.roamed.events)
    assert later.roamed.bytes - found.roamed.bytes <= 1_000


def test_a_reader_that_stopped_takes_nothing(pods: list[Pod]) -> None:
    with clients(pods[:1], bytes_per_second=0) as running:
        stream = pods[0].accept()
        stream.sendall(HEAD)
        running.report(lambda report: report.live == 1)
        stream.sendall(event(8) * 5)
        time.sleep(0.1)
        found = running.report(lambda report: report.live == 1)
    assert found.roamed.events == 0


def test_an_unknown_command_is_a_fault_of_ours() -> None:
    theirs, ours = os.pipe()
    os.write(ours, b"dance\n")
    with pytest.raises(ValueError, match="is no command: report, account, or churn RATE"):
        Roaming(Plan("127.0.0.1", [9], [], [], 1.0), theirs, io.BytesIO()).run()
    os.close(ours)
    os.close(theirs)
