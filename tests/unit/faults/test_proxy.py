"""The proxy does to real bytes what it is told, and nothing else."""

import asyncio
import secrets
from collections.abc import AsyncIterator

import pytest

from tests.faults.proxy import Proxy, Weather
from tests.servers import HOST, free_port, wait_until

SECONDS = 5.0


@pytest.fixture
async def proxy() -> AsyncIterator[Proxy]:
    """Before a server that sends back what it gets."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while block := await reader.read(65536):
                writer.write(block)
                await writer.drain()
        except ConnectionResetError:
            return
        finally:
            writer.close()

    port = free_port()
    server = await asyncio.start_server(echo, HOST, port)
    async with Proxy("test", port).serving() as one:
        yield one
    server.close()


async def dial(proxy: Proxy) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection(HOST, proxy.port)


async def exchange(proxy: Proxy, data: bytes) -> bytes:
    reader, writer = await dial(proxy)
    async with asyncio.timeout(SECONDS):
        writer.write(data)
        writer.write_eof()
        got = await reader.read()
    writer.close()
    return got


@pytest.mark.parametrize(
    ("weather", "size"),
    [(Weather(), 3_000_000), (Weather(sliced=True), 3_000), (Weather(delay=0.05, jitter=0.05), 300_000)],
    ids=["fair", "sliced", "late"],
)
async def test_what_goes_in_comes_out(proxy: Proxy, weather: Weather, size: int) -> None:
    proxy.become(weather)
    data = secrets.token_bytes(size)
    assert await exchange(proxy, data) == data


async def test_late_bytes_are_late(proxy: Proxy) -> None:
    proxy.become(Weather(delay=0.2))
    began = asyncio.get_running_loop().time()
    await exchange(proxy, b"x")
    assert asyncio.get_running_loop().time() - began >= 0.4, "there and back"


async def test_a_black_hole_keeps_the_connection_and_loses_nothing(proxy: Proxy) -> None:
    reader, writer = await dial(proxy)
    writer.write(b"before")
    async with asyncio.timeout(SECONDS):
        assert await reader.readexactly(6) == b"before"
    proxy.become(Weather(held=True))
    writer.write(b"within")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await reader.read(1)
    assert not reader.at_eof()
    proxy.clear()
    async with asyncio.timeout(SECONDS):
        assert await reader.readexactly(6) == b"within"
    writer.close()


async def test_a_reset_is_seen_and_counted(proxy: Proxy) -> None:
    reader, writer = await dial(proxy)
    writer.write(b"x")
    async with asyncio.timeout(SECONDS):
        await reader.readexactly(1)
        assert proxy.reset() == 1
        with pytest.raises(ConnectionResetError):
            await reader.read()
    writer.close()

    async def none_left() -> bool:
        return proxy.open == 0

    await wait_until(none_left, seconds=SECONDS, what="the pair is forgotten")


async def test_a_server_that_is_away_is_a_reset(proxy: Proxy) -> None:
    proxy.target = free_port()
    with pytest.raises(ConnectionResetError):
        await exchange(proxy, b"x")
