"""HTTP as it should not be written: over raw sockets, as a proxy with other ideas would pass it on."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from slipstream.app import Running
from tests.integration.answers import JSON, problem
from tests.integration.cluster import Cluster
from tests.integration.wire import Wire, call, request
from tests.security.attacks import attack

pytestmark = pytest.mark.asyncio(loop_scope="module")
LOOPS = ("uvloop",)

HIDDEN = b"GET /v1/poll?tenant=hidden HTTP/1.1\r\nHost: x\r\n\r\n"
ANSWERED = b"there is no tenant"
"""A request that a proxy in front did not see, and what its answer would have."""

QUIET, SILENT = 0.1, 1.5
"""Seconds without a byte after which nothing more comes: behind an answer, and where there is none."""

HOST = "Host: x"
CL, CHUNKED = f"Content-Length: {len(HIDDEN)}", "Transfer-Encoding: chunked"
EMPTY = b"0\r\n\r\n"


def raw(*lines: str, body: bytes = b"", start: str = "POST /v1/events HTTP/1.1", end: str = "\r\n") -> bytes:
    return end.join([start, *lines, "", ""]).encode("latin-1") + body


SMUGGLING = {
    "CL.TE": raw(HOST, JSON, CL, CHUNKED, body=EMPTY + HIDDEN),
    "TE.CL": raw(HOST, JSON, CHUNKED, "Content-Length: 4", body=b"0\r\n\r\n" + HIDDEN),
    "CL.CL": raw(HOST, JSON, "Content-Length: 0", CL, body=HIDDEN),
    "CL.CL equal": raw(HOST, JSON, CL, CL, body=HIDDEN),
    "CL list": raw(HOST, JSON, f"Content-Length: 0, {len(HIDDEN)}", body=HIDDEN),
    "CL plus": raw(HOST, JSON, "Content-Length: +0", body=HIDDEN),
    "CL minus": raw(HOST, JSON, "Content-Length: -1", body=HIDDEN),
    "CL hexadecimal": raw(HOST, JSON, "Content-Length: 0x0", body=HIDDEN),
    "CL underscore": raw(HOST, JSON, "Content-Length: 0_0", body=HIDDEN),
    "CL other digits": raw(HOST, JSON, "Content-Length: \xb2", body=HIDDEN),
    "CL empty": raw(HOST, JSON, "Content-Length: ", body=HIDDEN),
    "CL overflow": raw(HOST, JSON, f"Content-Length: {2**64}", body=HIDDEN),
    "TE unknown": raw(HOST, JSON, "Transfer-Encoding: xchunked", body=EMPTY + HIDDEN),
    "TE then identity": raw(HOST, JSON, "Transfer-Encoding: chunked, identity", body=EMPTY + HIDDEN),
    "TE space before colon": raw(HOST, JSON, "Transfer-Encoding : chunked", body=EMPTY + HIDDEN),
    "TE vertical tab": raw(HOST, JSON, "Transfer-Encoding: \x0bchunked", body=EMPTY + HIDDEN),
    "TE in quotes": raw(HOST, JSON, 'Transfer-Encoding: "chunked"', body=EMPTY + HIDDEN),
    "TE folded": raw(HOST, JSON, "Transfer-Encoding:", " chunked", body=EMPTY + HIDDEN),
    "TE twice": raw(HOST, JSON, CHUNKED, "Transfer-Encoding: identity", body=EMPTY + HIDDEN),
    "header folded": raw(HOST, JSON, "X-A: b", f"\t{CHUNKED}", body=EMPTY + HIDDEN),
    "line ends LF": raw(HOST, JSON, CL, end="\n", body=HIDDEN),
    "CR alone": raw(HOST, JSON, f"X-A: b\r{CHUNKED}", body=EMPTY + HIDDEN),
    "NUL": raw(HOST, JSON, f"X-A: b\0{CHUNKED}", body=EMPTY + HIDDEN),
    "name with a space": raw(HOST, JSON, "X A: b", CHUNKED, body=EMPTY + HIDDEN),
    "name that is empty": raw(HOST, JSON, ": b", CHUNKED, body=EMPTY + HIDDEN),
    "no colon": raw(HOST, JSON, "chunked", CHUNKED, body=EMPTY + HIDDEN),
    "no Host": raw(JSON, CL, body=HIDDEN),
    "two Hosts": raw(HOST, "Host: y", JSON, CL, body=HIDDEN),
    "chunk size 0x": raw(HOST, JSON, CHUNKED, body=b"0x0\r\n\r\n" + HIDDEN),
    "chunk size plus": raw(HOST, JSON, CHUNKED, body=b"+0\r\n\r\n" + HIDDEN),
    "chunk size minus": raw(HOST, JSON, CHUNKED, body=b"-1\r\n\r\n" + HIDDEN),
    "chunk size overflow": raw(HOST, JSON, CHUNKED, body=b"10000000000000000\r\n\r\n" + HIDDEN),
    "chunk size empty": raw(HOST, JSON, CHUNKED, body=b"\r\n\r\n" + HIDDEN),
    "chunk size underscore": raw(HOST, JSON, CHUNKED, body=b"0_0\r\n\r\n" + HIDDEN),
    "chunk extension with LF": raw(HOST, JSON, CHUNKED, body=b"0;a=\n\r\n\r\n" + HIDDEN),
    "chunk line ends LF": raw(HOST, JSON, CHUNKED, body=b"0\n\n" + HIDDEN),
    "chunk too long": raw(HOST, JSON, CHUNKED, body=b"1\r\nxx\r\n0\r\n\r\n" + HIDDEN),
    "HTTP/1.10": raw(HOST, JSON, CL, start="POST /v1/events HTTP/1.10", body=HIDDEN),
    "HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + HIDDEN,
    "http/1.1 in small letters": raw(HOST, JSON, CL, start="POST /v1/events http/1.1", body=HIDDEN),
    "two spaces": raw(HOST, JSON, CL, start="POST  /v1/events HTTP/1.1", body=HIDDEN),
    "a tab for a space": raw(HOST, JSON, CL, start="POST\t/v1/events\tHTTP/1.1", body=HIDDEN),
    "a method with a colon": raw(HOST, JSON, CL, start="POST: /v1/events HTTP/1.1", body=HIDDEN),
    "a line end in the target": raw(HOST, start="GET /v1/poll?x=\rHTTP/1.1 HTTP/1.1", body=HIDDEN),
}

HARMLESS = {
    "a body behind GET": raw(HOST, CL, start="GET /v1/poll HTTP/1.1", body=HIDDEN),
    "a body behind HEAD": raw(HOST, CL, start="HEAD /v1/events HTTP/1.1", body=HIDDEN),
    "a body that nobody reads": raw(HOST, CL, start="PUT /v1/events HTTP/1.1", body=HIDDEN),
    "a body behind an upgrade": raw(HOST, JSON, CL, "Connection: Upgrade", "Upgrade: websocket", body=HIDDEN),
    "h2c": raw(
        HOST, CL, "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk", body=HIDDEN
    ),
    "a hidden request in a chunk": raw(HOST, JSON, CHUNKED, body=b"%x\r\n%b\r\n" % (len(HIDDEN), HIDDEN) + EMPTY),
    "trailers": raw(HOST, JSON, CHUNKED, body=b"2\r\n{}\r\n0\r\nContent-Length: 50\r\nX-Tenant-ID: evil\r\n\r\n"),
    "CONNECT": raw(HOST, start="CONNECT /v1/events HTTP/1.1"),
}
"""Read right: whole requests, with one answer."""


async def told(running: Running, data: bytes) -> bytes:
    """All that comes for these bytes, until the edge closes or has nothing more to say.

    Our half stays open: an edge drops the requests of a peer that has gone.
    """
    wire = await Wire.open(running.server.port)
    try:
        with contextlib.suppress(ConnectionError, TimeoutError):
            await wire.send(data)
            while True:
                async with asyncio.timeout(QUIET if wire.buffer else SILENT):
                    if not await wire.more():
                        break
        return bytes(wire.buffer)
    finally:
        wire.close()


def statuses(answer: bytes) -> list[int]:
    return [int(found) for found in re.findall(rb"HTTP/1\.[01] (\d{3}) ", answer)]


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def hasty(cluster: Cluster) -> AsyncIterator[Running]:
    """An edge that waits for half a second only."""
    async with cluster.edge(head_deadline=0.5, body_deadline=0.5) as one:
        yield one


@attack("request smuggling")
@pytest.mark.parametrize("name", SMUGGLING)
async def test_what_could_be_read_in_two_ways_is_not_read(running: Running, name: str) -> None:
    """A wrong length is a request more or less than the proxy counted: the next visitor gets its answer."""
    answer = await told(running, SMUGGLING[name])
    assert ANSWERED not in answer
    assert len(statuses(answer)) == 1, answer
    assert statuses(answer)[0] in (400, 408), answer


@attack("request smuggling")
@pytest.mark.parametrize("name", HARMLESS)
async def test_a_body_is_never_a_request(running: Running, name: str) -> None:
    answer = await told(running, HARMLESS[name])
    assert ANSWERED not in answer
    assert len(statuses(answer)) == 1, answer
    assert 400 <= statuses(answer)[0] < 500, answer


@attack("slowloris: a head that drips, or never comes")
@pytest.mark.parametrize("begin", [b"", b"GET /v1/events", b"GET / HTTP/1.1\r\nX: ", b"\r\n"], ids=ascii)
async def test_a_head_that_is_not_complete_in_time_ends_the_connection(hasty: Running, begin: bytes) -> None:
    wire = await Wire.open(hasty.server.port)
    await drip(wire, begin)


@attack("slowloris: a head that drips, or never comes")
async def test_a_second_head_has_a_deadline_too(cluster: Cluster, hasty: Running) -> None:
    wire = await Wire.open(hasty.server.port)
    await wire.send(request(cluster.target(path="/v1/poll")))
    assert (await wire.answer()).status == 200
    await drip(wire, b"GET / HTTP/1.1\r\nX: ")


async def drip(wire: Wire, begin: bytes) -> None:
    """Bytes come one at a time until the edge has had enough, which must be soon."""
    try:
        if begin:
            await wire.send(begin)
        ended = asyncio.create_task(wire.rest(), name="until the edge closes")
        with contextlib.suppress(ConnectionError):
            while not ended.done():
                if begin:
                    await wire.send(b"a")
                await asyncio.wait([ended], timeout=0.05)
            await ended
        await asyncio.gather(ended, return_exceptions=True)
    finally:
        wire.close()


@attack("slowloris: a head that drips, or never comes")
async def test_a_crowd_of_drips_keeps_nobody_out(cluster: Cluster, hasty: Running) -> None:
    crowd = [await Wire.open(hasty.server.port) for _ in range(100)]
    for wire in crowd:
        await wire.send(b"GET / HTTP/1.1\r\nX: ")
    assert (await call(hasty.server.port, cluster.target(path="/v1/poll"))).status == 200
    for wire in crowd:
        with contextlib.suppress(ConnectionError):
            await wire.rest()
        wire.close()


@attack("huge heads, cookies and URLs")
@pytest.mark.parametrize(
    "data",
    [
        raw(HOST, start="GET /" + "a" * 70_000 + " HTTP/1.1"),
        raw(HOST, start="GET /v1/events?" + "topic=a&" * 9_000 + " HTTP/1.1"),
        raw(HOST, "Cookie: " + "a=b; " * 20_000, start="GET /v1/events HTTP/1.1"),
        raw(HOST, "X-" + "a" * 70_000 + ": b", start="GET /v1/events HTTP/1.1"),
        raw(HOST, *(f"X-{number}: {number}" for number in range(20_000)), start="GET /v1/events HTTP/1.1"),
        raw(HOST, "Authorization: Bearer " + "x" * 100_000, start="GET /v1/events HTTP/1.1"),
        b"A" * 200_000,
    ],
    ids=["path", "query", "cookie", "name", "fields", "token", "method"],
)
async def test_a_head_that_is_huge(running: Running, data: bytes) -> None:
    """The method is no different: it is read before anything else is known."""
    assert statuses(await told(running, data)) in ([400], [431], [])


@attack("header injection")
@pytest.mark.parametrize(
    "text",
    ["x\r\nSet-Cookie: a=b", "x%0d%0aSet-Cookie:%20a=b", "%E5%98%8A%E5%98%8DSet-Cookie: a=b", "x\nSet-Cookie: a=b"],
)
async def test_what_a_caller_wrote_is_in_no_header(cluster: Cluster, running: Running, text: str) -> None:
    trace = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"
    for header in ("traceparent", "Origin", "Last-Event-ID", "Accept", "Retry-Preferences", "X-Tenant-ID"):
        value = trace + text if header == "traceparent" else text
        data = f"GET {cluster.target('topic=$')} HTTP/1.1\r\nHost: x\r\n{header}: {value}\r\n\r\n".encode()
        head = (await told(running, data)).partition(b"\r\n\r\n")[0].lower()
        assert b"\r\nset-cookie" not in head, head
        assert head.count(b"\r\n") == head.count(b"\n"), head
    for query in (f"topic={text}", f"refusal={text}", f"tenant={text}", f"last_event_id={text}", f"heartbeat={text}"):
        target = query.replace("\r", "%0d").replace("\n", "%0a").replace(" ", "%20")
        answer = await call(running.server.port, f"/v1/events?{target}")
        problem(answer, 400, "BAD_REQUEST")
        assert "set-cookie" not in str(answer.headers).lower()
        assert "location" not in answer.headers


@attack("header injection")
async def test_a_trace_is_a_trace_or_none(cluster: Cluster, running: Running) -> None:
    for text in ("00-" + "A" * 32 + "-" + "b" * 16 + "-01", "00-" + "a" * 32 + "-x", "x" * 5000, "00-" + "0" * 32):
        answer = await call(running.server.port, cluster.target(path="/v1/poll"), f"traceparent: {text}")
        assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-00", answer.headers["traceparent"])
        assert text not in answer.headers["traceparent"]
