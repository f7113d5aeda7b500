"""What counts as left behind, and how clients come and go badly."""

import asyncio
from collections import Counter

import pytest

from loadtest.leaks import Rest, faults, slope
from loadtest.rude import WAYS, crowd
from tests.servers import HOST


def rest(**changes: int) -> Rest:
    held = {"descriptors": 20, "places": 0, "anonymous": 50_000} | changes
    return Rest(held["descriptors"], {"feed": 1, "hub": changes.get("hub", 1)}, held["places"], held["anonymous"])


def test_memory_that_settles_is_no_leak_and_one_that_grows_is() -> None:
    assert slope([0, 500, 900, 1_000, 1_000, 1_000, 1_000, 1_000]) == 0
    assert slope([0, 0, 0, 0, 100, 200, 300, 400]) == pytest.approx(100)
    assert slope([7]) == 0


@pytest.mark.parametrize("changes", [{"descriptors": 21}, {"places": 1}, {"hub": 2}], ids=str)
def test_whatever_differs_from_the_first_round_is_told(changes: dict[str, int]) -> None:
    assert faults([rest(), rest(anonymous=90_000), rest()]) == []
    (told,) = faults([rest(), rest(), rest(**changes)])
    assert told.startswith("after round 3:")


async def test_each_way_is_gone_by_and_none_stays() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 5_000)
            await reader.read()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(serve, HOST, 0)
    async with server:
        done = await crowd(server.sockets[0].getsockname()[1], "acme", 2 * len(WAYS), seed=3)
    assert done.total() == 2 * len(WAYS)
    # The server resets who half-closes or talks on: how that ends is not this test's business.
    certain = {way.__name__ for way in WAYS} - {"half_closes", "talks"}
    assert Counter(dict.fromkeys(certain, 2)) <= done
