"""Clients that come back with ids of their own, against a real server: what each is counted to have got."""

import io
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

from loadtest.returning import Plan, Returning, Storm, read
from slipstream.protocol.frame import chunk, encode

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n"
SECONDS = 10.0


def ready(seq: int) -> bytes:
    return HEAD + chunk(encode(f"abcdefgh-{seq}-1kz", "stream.ready", b"{}"))


def event(seq: int) -> bytes:
    return chunk(encode(f"abcdefgh-{seq}-1kz", "", b'{"t":%d,"delay":95}' % time.monotonic_ns()))


@dataclass
class Storming:
    """Clients in a thread; `streams` are the server's ends by the id that each client came with."""

    listener: socket.socket
    reports: io.BytesIO = field(default_factory=io.BytesIO)
    streams: dict[str, socket.socket] = field(default_factory=dict)

    def accept(self, count: int) -> None:
        for _ in range(count):
            connection, _ = self.listener.accept()
            connection.settimeout(SECONDS)
            request = connection.recv(4096).decode()
            self.streams[request.partition("Last-Event-ID: ")[2].split("\r\n")[0]] = connection

    def until(self, wanted: Callable[[Storm], bool]) -> Storm:
        until = time.monotonic() + SECONDS
        newest = None
        while time.monotonic() < until:
            lines = [line for line in self.reports.getvalue().splitlines(keepends=True) if line.endswith(b"\n")]
            newest = read(lines[-1]) if lines else None
            if newest and wanted(newest):
                return newest
            time.sleep(0.01)
        raise AssertionError(f"no such report within {SECONDS} s; the newest: {newest}")


@contextmanager
def storming(ids: list[str], due: list[int]) -> Iterator[Storming]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(SECONDS)
        running = Storming(listener)
        plan = Plan("127.0.0.1", listener.getsockname()[1], "/v1/events?topic=x", ids, due, inspect=1)
        theirs, ours = os.pipe()
        thread = threading.Thread(target=Returning(plan, theirs, running.reports).run, name="returning")
        thread.start()
        try:
            yield running
        finally:
            os.close(ours)
            thread.join(SECONDS)
            os.close(theirs)
            for connection in running.streams.values():
                connection.close()
            assert not thread.is_alive()


def test_each_client_is_counted_and_is_live_when_it_had_all_that_it_missed() -> None:
    with storming(["abcdefgh-8-1kz", "abcdefgh-5-1kz"], [2, 5]) as clients:
        clients.accept(2)
        late, later = clients.streams["abcdefgh-8-1kz"], clients.streams["abcdefgh-5-1kz"]
        late.sendall(ready(8) + event(9) + event(10) + event(11))
        later.sendall(ready(5) + event(6) + event(7))
        storm = clients.until(lambda found: found.counts == [3, 2])
        assert (storm.streaming, storm.caught_up, storm.over) == (2, 1, False)
        later.sendall(b"".join(map(event, range(8, 12))))
        storm = clients.until(lambda found: found.over)
        assert (storm.counts, storm.caught_up) == ([3, 6], 2)
        assert (storm.first.count, storm.whole.count) == (2, 2)
        assert 0 < storm.last < SECONDS * 1e9
        assert (storm.inspected.events, storm.inspected.missing, storm.inspected.disordered) == (9, 0, 0)


def test_a_repeated_event_shows_in_the_count_and_in_the_order() -> None:
    with storming(["abcdefgh-8-1kz"], [2]) as clients:
        clients.accept(1)
        clients.streams["abcdefgh-8-1kz"].sendall(ready(8) + event(9) + event(9) + event(10))
        storm = clients.until(lambda found: found.counts == [3])
        assert storm.inspected.disordered == 1


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n", "answer HTTP/1.1 503 Service Unavailable"),
        (HEAD, "end of stream"),
        (HEAD[:20], "no head, or an endless one"),
    ],
)
def test_a_client_that_gets_no_stream_has_failed(answer: bytes, reason: str) -> None:
    with storming(["abcdefgh-8-1kz"], [2]) as clients:
        clients.accept(1)
        stream = clients.streams["abcdefgh-8-1kz"]
        stream.sendall(answer)
        stream.shutdown(socket.SHUT_WR)
        storm = clients.until(lambda found: found.over)
        assert storm.failed == {reason: 1}
        assert storm.caught_up == 0
