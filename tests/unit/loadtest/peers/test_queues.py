"""Every client that is there gets every event, in order, with ids whose order can be checked."""

import asyncio

from loadtest.peers.queues import Event, Queues


async def test_an_event_goes_to_all_who_are_there_and_to_nobody_else() -> None:
    queues = Queues()
    queues.put("before")
    with queues.joined() as one:
        with queues.joined() as two:
            queues.put("both")
        queues.put("one")
    queues.put("after")
    assert [one.get_nowait() for _ in range(one.qsize())] == [Event("peer-2", "both"), Event("peer-3", "one")]
    assert [two.get_nowait() for _ in range(two.qsize())] == [Event("peer-2", "both")]


async def test_events_come_from_a_feed_a_line_each() -> None:
    queues = Queues()
    with queues.joined() as client:
        async with asyncio.timeout(10), await queues.listen(0) as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.sockets[0].getsockname()[1])
            writer.write(b'{"t":1}\n{"t"')
            await writer.drain()
            assert await client.get() == Event("peer-1", '{"t":1}')
            writer.write(b":2}\n")
            assert await client.get() == Event("peer-2", '{"t":2}')
            writer.write_eof()
            assert await reader.read() == b"", "the feed's end is closed when it has ended"
            writer.close()
            await writer.wait_closed()
