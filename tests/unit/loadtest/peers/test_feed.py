"""What a peer is told: a line for each event, or a POST for each on connections that are kept."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from loadtest.peers.feed import Lines, Posts, Refused, answered

SECONDS = 10.0


def reader(data: bytes) -> asyncio.StreamReader:
    made = asyncio.StreamReader()
    made.feed_data(data)
    made.feed_eof()
    return made


async def test_an_answer_is_read_to_the_end_of_its_body() -> None:
    two = reader(
        b"HTTP/1.1 201 Created\r\nContent-Length: 3\r\n\r\nabcHTTP/1.1 202 Accepted\r\ncontent-length:0\r\n\r\n"
    )
    assert [await answered(two), await answered(two)] == [201, 202]


async def test_an_answer_of_unknown_length_is_refused() -> None:
    with pytest.raises(ValueError, match="without Content-Length: HTTP"):
        await answered(reader(b"HTTP/1.1 200 OK\r\n\r\n"))


@asynccontextmanager
async def posting(statuses: list[int]) -> AsyncIterator[tuple[Posts, list[bytes]]]:
    """One connection to a server that answers with these statuses, one after the other."""
    bodies: list[bytes] = []

    async def serve(incoming: asyncio.StreamReader, outgoing: asyncio.StreamWriter) -> None:
        for status in statuses:
            head = (await incoming.readuntil(b"\r\n\r\n")).lower()
            assert head.startswith(b"post /pub http/1.1\r\n")
            bodies.append(await incoming.readexactly(int(head.partition(b"content-length: ")[2].split(b"\r\n")[0])))
            outgoing.write(b"HTTP/1.1 %d X\r\nContent-Length: 2\r\n\r\nok" % status)
        outgoing.close()
        await outgoing.wait_closed()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        posts = Posts(f"127.0.0.1:{port}", "/pub")
        stream = await asyncio.open_connection("127.0.0.1", port)
        running = asyncio.create_task(posts.run(*stream))
        try:
            async with asyncio.timeout(SECONDS):
                yield posts, bodies
        finally:
            running.cancel()
            await asyncio.wait({running})
            await stream[0].read()
            stream[1].close()


async def test_posts_go_out_in_order_and_each_is_acknowledged() -> None:
    async with posting([201, 202]) as (posts, bodies):
        answers = [await posts.publish_async("sse.x.y", body) for body in (b'{"t":1}', b'{"t":2}')]
        await posts.publish_async_completed()
        assert [answer.result() for answer in answers] == [None, None]
        assert bodies == [b'{"t":1}', b'{"t":2}']


async def test_a_refused_post_is_not_acknowledged() -> None:
    async with posting([503]) as (posts, _):
        answer = await posts.publish_async("sse.x.y", b"{}")
        with pytest.raises(Refused, match="answer 503"):
            await answer


async def test_a_connection_that_breaks_fails_the_post_that_waited() -> None:
    async with posting([]) as (posts, _):
        answer = await posts.publish_async("sse.x.y", b"{}")
        with pytest.raises((EOFError, OSError)):
            await answer


async def test_lines_are_one_for_each_event() -> None:
    got: list[bytes] = []

    async def serve(incoming: asyncio.StreamReader, outgoing: asyncio.StreamWriter) -> None:
        got.append(await incoming.read(-1))
        outgoing.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server, asyncio.timeout(SECONDS):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.sockets[0].getsockname()[1])
        lines = Lines(writer)
        for payload in (b"one", b"two"):
            await (await lines.publish_async("sse.x.y", payload))
        writer.write_eof()
        await reader.read()
        writer.close()
        await writer.wait_closed()
    assert got == [b"one\ntwo\n"]
