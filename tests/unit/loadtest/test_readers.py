"""The epoll loop against a real server: what it opens, counts, checks and reports."""

import io
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

from loadtest.readers import Plan, Readers, Refused, data_segments, parse_head
from loadtest.tally import ReaderReport, reader_report
from slipstream.protocol.frame import chunk, encode

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n"
SECONDS = 10.0
PROBES = 3  # A sender that waits for a delayed acknowledgement sends its last segment again (RFC 8985, section 7).


def event(seq: int) -> bytes:
    return chunk(encode(f"abcdefgh-{seq}-1kz", "delayed", b'{"t":%d,"delay":95}' % time.monotonic_ns()))


@dataclass
class Server:
    """Accepts connections and reads their requests; the test writes the answers."""

    listener: socket.socket
    requests: list[bytes] = field(default_factory=list)
    accepted: list[socket.socket] = field(default_factory=list)

    def accept(self, count: int) -> list[socket.socket]:
        for _ in range(count):
            connection, _ = self.listener.accept()
            self.accepted.append(connection)
            connection.settimeout(SECONDS)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.requests.append(connection.recv(4096))
        return self.accepted[-count:]


@dataclass
class Reading:
    """Readers in a thread; `report` waits until their newest report is as wanted."""

    commands: int
    reports: io.BytesIO

    def report(self, wanted: Callable[[ReaderReport], bool]) -> ReaderReport:
        until = time.monotonic() + SECONDS
        newest = None
        while time.monotonic() < until:
            os.write(self.commands, b"report\n")
            lines = [line for line in self.reports.getvalue().splitlines(keepends=True) if line.endswith(b"\n")]
            newest = reader_report(lines[-1]) if lines else None
            if newest and wanted(newest):
                return newest
            time.sleep(0.005)
        raise AssertionError(f"no such report within {SECONDS} s; the newest: {newest}")


@pytest.fixture
def server() -> Iterator[Server]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(SECONDS)
        serving = Server(listener)
        yield serving
        for connection in serving.accepted:
            connection.close()


@contextmanager
def readers(server: Server, connections: int, **others: float) -> Iterator[Reading]:
    port = server.listener.getsockname()[1]
    plan = Plan("127.0.0.1", port, "/v1/events?topic=x", connections, inspect=True, **others)  # type: ignore[arg-type]
    ours, theirs = os.pipe()[::-1]
    reports = io.BytesIO()
    thread = threading.Thread(target=Readers(plan, theirs, reports).run, name="readers")
    thread.start()
    try:
        yield Reading(ours, reports)
    finally:
        os.close(ours)
        thread.join(SECONDS)
        os.close(theirs)
        assert not thread.is_alive()


def test_every_event_of_every_connection_is_counted_and_in_order(server: Server) -> None:
    with readers(server, 5) as reading:
        connections = server.accept(5)
        for connection in connections:
            connection.sendall(HEAD + event(1))
        for seq in range(2, 41):
            for connection in connections:
                connection.sendall(event(seq))
        report = reading.report(lambda newest: newest.received.events >= 200)
        found = report.received.inspected
        assert (report.live, report.opening, report.received.events) == (5, 0, 200)
        assert (found.events, found.disordered, found.missing, found.latency.count) == (200, 0, 0, 200)
        assert set(server.requests) == {server.requests[0]}
        assert server.requests[0].startswith(b"GET /v1/events?topic=x HTTP/1.1\r\nHost: 127.0.0.1")


def test_events_for_each_write_are_known_however_slowly_they_are_read(server: Server) -> None:
    with readers(server, 1, pause_seconds=0.3) as reading:
        (connection,) = server.accept(1)
        connection.sendall(HEAD)
        reading.report(lambda newest: newest.live == 1)
        for seq in range(1, 21):
            connection.sendall(event(seq))
        received = reading.report(lambda newest: newest.received.events == 20).received
        assert received.reads < 10, "the reader was too fast for this test to show anything"
        assert 21 <= received.inspected.segments <= 21 + PROBES, "20 writes and the head"


def test_a_lost_and_a_repeated_event_are_found(server: Server) -> None:
    with readers(server, 1) as reading:
        (connection,) = server.accept(1)
        connection.sendall(HEAD + event(1) + event(3) + event(3))
        found = reading.report(lambda newest: newest.received.events == 3).received.inspected
        assert (found.missing, found.disordered) == (1, 1)


def test_a_refusal_is_counted_by_its_status(server: Server) -> None:
    with readers(server, 2) as reading:
        for connection in server.accept(2):
            connection.sendall(b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\n\r\n")
            connection.close()
        report = reading.report(lambda newest: newest.opening == 0)
        assert report.received.failed == {"answer HTTP/1.1 429 Too Many Requests": 2}
        assert report.live == 0


def test_a_stream_that_the_server_ends_is_told(server: Server) -> None:
    with readers(server, 1) as reading:
        (connection,) = server.accept(1)
        connection.sendall(HEAD + event(1))
        connection.close()
        report = reading.report(lambda newest: newest.received.ended.total() == 1)
        assert (report.received.ended, report.received.events, report.live) == ({"end of stream": 1}, 1, 0)


def test_a_server_that_does_not_answer_is_given_up(server: Server) -> None:
    with readers(server, 1, open_seconds=0.1) as reading:
        report = reading.report(lambda newest: newest.opening == 0)
        assert report.received.failed == {"no head within 0.1 s": 1}


def test_a_port_where_nobody_listens_fails_every_connection(server: Server) -> None:
    server.listener.close()
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
    plan = Plan("127.0.0.1", port, "/", 3)
    ours, theirs = os.pipe()[::-1]
    reports = io.BytesIO()
    thread = threading.Thread(target=Readers(plan, theirs, reports).run)
    thread.start()
    try:
        report = Reading(ours, reports).report(lambda newest: newest.opening == 0)
    finally:
        os.close(ours)
        thread.join(SECONDS)
        os.close(theirs)
    assert report.received.failed == {"ECONNREFUSED": 3}


@pytest.mark.parametrize(
    ("head", "what"),
    [
        (b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/event-stream", "503"),
        (b"HTTP/1.1 200 OK\r\nContent-Type: application/json", "application/json"),
        (b"HTTP/1.1 200 OK", "content type none"),
    ],
)
def test_only_an_event_stream_with_200_is_read(head: bytes, what: str) -> None:
    with pytest.raises(Refused, match=what):
        parse_head(head)


@pytest.mark.parametrize("coding", [b"", b"\r\nTRANSFER-ENCODING:  chunked"])
def test_the_head_tells_the_framing(coding: bytes) -> None:
    assert parse_head(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream" + coding) is bool(coding)


def test_segments_are_those_with_data() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()) as client:
        accepted, _ = listener.accept()
        with accepted:
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            assert data_segments(client) == 0
            for _ in range(7):
                accepted.send(b"x" * 300)
            assert len(client.recv(2100, socket.MSG_WAITALL)) == 2100
            assert 7 <= data_segments(client) <= 7 + PROBES
            assert data_segments(accepted) == 0
