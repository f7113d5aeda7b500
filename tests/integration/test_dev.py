"""`slipstream dev` as a newcomer runs it: one URL, two edges, real events; and what happens when parts of it die."""

import asyncio
import contextlib
import itertools
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from slipstream.protocol.position import Position
from tests.integration.wire import Stream, Wire, request, until
from tests.servers import HOST, free_port, http_get, slipstream_environment
from tests.sse import Parsed, Parser

pytestmark = [pytest.mark.asyncio(loop_factories=["asyncio"]), pytest.mark.timeout(150)]

START_SECONDS = 60.0
EVENTS_SECONDS = 40.0
STOP_SECONDS = 10.0


class Dev:
    """The command as a process of its own session, as if a terminal of its own had started it."""

    def __init__(self, folder: Path, *arguments: str, **environment: str) -> None:
        self.port = free_port()
        self.data = folder / "data"
        self.output = folder / "output"
        command = [sys.executable, "-m", "slipstream", "dev", "--port", str(self.port), "--data", str(self.data)]
        # NATS is the cluster's own: the address given here must not be used.
        with self.output.open("wb") as out:
            self.process = subprocess.Popen(
                [*command, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env=slipstream_environment("nats://127.0.0.1:1") | environment,
                start_new_session=True,
            )

    @property
    def text(self) -> str:
        return self.output.read_text(encoding="utf-8")

    @property
    def pids(self) -> dict[str, int]:
        """Of the command and of its children, by name."""
        lines = (self.data / "lock").read_text().splitlines()
        return {name: int(pid) for pid, name in (line.split(" ", 1) for line in lines)}

    async def said(self, text: str, seconds: float = START_SECONDS) -> None:
        """Wait until it has printed this."""
        await until(lambda: text in self.text or self.process.poll() is not None, text, seconds)
        assert text in self.text, self.text

    async def ended(self) -> int:
        return await asyncio.to_thread(self.process.wait, STOP_SECONDS)

    def kill_all(self) -> None:
        """Whatever a test that failed has left."""
        if (self.data / "lock").exists():
            for pid in self.pids.values():
                if is_alive(pid):
                    os.kill(pid, signal.SIGKILL)
        self.process.kill()
        self.process.wait()


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


class EventSource:
    """What a browser's does: it comes back with its last id after the `retry` it was told, until it is closed."""

    def __init__(self, port: int, target: str) -> None:
        self.events: list[Parsed] = []
        self.controls: list[Parsed] = []
        self.connects = 0
        self._port = port
        self._target = target
        self._last_id = ""
        self._retry = 1_000

    async def run(self) -> None:
        while True:
            # A browser tells its page no more of a lost connection than that it was lost.
            with contextlib.suppress(OSError, EOFError, TimeoutError):
                await self._connection()
            await asyncio.sleep(self._retry / 1000)

    async def _connection(self) -> None:
        wire = await Wire.open(self._port)
        try:
            headers = ["Accept: text/event-stream", "Connection: close"]
            headers += [f"Last-Event-ID: {self._last_id}"] if self._last_id else []
            await wire.send(request(self._target, *headers))
            stream = Stream(wire, await wire.head())
            # Any other status ends a browser's EventSource for ever.
            assert stream.head.status == 200, stream.head
            self.connects += 1
            parser = Parser(self._last_id, self._retry)
            while stream.ended is None:
                await stream.advance()
                for event in itertools.chain.from_iterable(map(parser.feed, stream.blocks)):
                    ours = event.event == "error" or event.event.startswith("stream.")
                    (self.controls if ours else self.events).append(event)
                stream.blocks.clear()
                self._last_id, self._retry = parser.last_id, parser.retry or self._retry
        finally:
            wire.close()


@pytest.fixture
def started() -> Iterator[list[Dev]]:
    found: list[Dev] = []
    yield found
    for one in found:
        one.kill_all()


async def test_streams_go_on_through_the_death_of_every_edge_and_of_nats(started: list[Dev], tmp_path: Path) -> None:
    dev = Dev(tmp_path, "--rate", "20")
    started.append(dev)
    await dev.said("Ctrl-C ends it")
    assert "NO AUTHENTICATION" in dev.text
    assert f"open http://{HOST}:{dev.port}/" in dev.text
    status, page = await http_get(dev.port, "/")
    assert status == 200
    assert b"<title>Slipstream</title>" in page
    status, problem = await http_get(dev.port, "/events")
    assert status == 404
    assert b"/events" in problem, "an edge says so, with the path"

    readers = {
        name: EventSource(dev.port, f"/v1/events?tenant={name}&topic={name}.%3E&since=earliest")
        for name in ("flights", "quakes")
    }
    async with asyncio.TaskGroup() as group:
        following = [group.create_task(reader.run()) for reader in readers.values()]

        async def more(count: int) -> None:
            wanted = {name: len(reader.events) + count for name, reader in readers.items()}
            await until(
                lambda: all(len(reader.events) >= wanted[name] for name, reader in readers.items()),
                f"{count} more events of both tenants",
                EVENTS_SECONDS,
            )

        await more(20)
        for name in ("edge-1", "edge-2", "nats-server"):
            os.kill(pid := dev.pids[name], signal.SIGKILL)
            await dev.said(f"{name} (pid {pid}) was killed by SIGKILL; it is started again")
            await dev.said(f"{name} is back after ")
            await more(20)
        for task in following:
            task.cancel()

    for name, reader in readers.items():
        places = [Position.parse(event.id) for event in reader.events]
        # Every event of the tenant matches, so the numbers have no holes.
        assert [place.seq for place in places] == list(range(1, len(places) + 1)), name
        # An edge that has just begun to listen tells who comes to come back.
        errors = [json.loads(event.data)["code"] for event in reader.controls if event.event == "error"]
        assert set(errors) <= {"SSE_UPSTREAM_UNAVAILABLE"}
        assert {event.event for event in reader.controls} <= {"stream.ready", "stream.checkpoint", "error"}
        assert reader.connects >= 2, "one of the two edges that died had this reader"
        assert all(json.loads(event.data) for event in reader.events)

    pids = dev.pids
    assert all(map(is_alive, pids.values()))
    # A terminal's Ctrl-C goes to every process of its group.
    os.killpg(dev.process.pid, signal.SIGINT)
    assert await dev.ended() == 0, dev.text
    assert re.search(r"All stopped in [\d.]+ s", dev.text)
    assert not [name for name, pid in pids.items() if is_alive(pid)]
    assert "Traceback" not in dev.text


async def test_the_next_run_goes_on_in_the_same_log(started: list[Dev], tmp_path: Path) -> None:
    last = 0
    for expected in ("flights created", "flights unchanged"):
        dev = Dev(tmp_path, "--rate", "50")
        started.append(dev)
        await dev.said("Ctrl-C ends it")
        assert expected in dev.text
        status, body = await http_get(dev.port, "/v1/poll?tenant=flights&since=last&limit=1000")
        assert status == 200
        seqs = [Position.parse(event["id"]).seq for event in json.loads(body)["events"]]
        assert max(seqs) > last
        last = max(seqs)
        dev.process.send_signal(signal.SIGTERM)
        assert await dev.ended() == 0, dev.text


async def test_a_part_that_cannot_start_is_told_with_its_last_words_and_nothing_stays(
    started: list[Dev], tmp_path: Path
) -> None:
    dev = Dev(tmp_path, AIOHTTP_NO_EXTENSIONS="1")
    started.append(dev)
    assert await asyncio.to_thread(dev.process.wait, START_SECONDS) == 1
    assert "✗ 2 edges" in dev.text
    assert re.search(r"edge-[12] ended with status 1 before it served", dev.text)
    assert "│ slipstream: aiohttp runs with its Python parser" in dev.text
    assert "Traceback" not in dev.text
    assert not [name for name, pid in dev.pids.items() if is_alive(pid)]


async def test_an_interrupt_while_it_starts_ends_it_too(started: list[Dev], tmp_path: Path) -> None:
    dev = Dev(tmp_path)
    started.append(dev)
    await dev.said("NATS with JetStream")
    dev.process.send_signal(signal.SIGINT)
    assert await dev.ended() == 0, dev.text
    assert "All stopped" in dev.text
    assert not [name for name, pid in dev.pids.items() if is_alive(pid)]


async def test_what_it_cannot_work_with_is_one_sentence(started: list[Dev], tmp_path: Path) -> None:
    (tmp_path / "data").touch()
    folder = Dev(tmp_path)
    (tmp_path / "two").mkdir()
    setting = Dev(tmp_path / "two", SLIPSTREAM_HEARTBEAT="soon")
    started += [folder, setting]
    for dev, status, says in ((folder, 1, "give --data another folder"), (setting, 2, "SLIPSTREAM_HEARTBEAT='soon'")):
        assert await asyncio.to_thread(dev.process.wait, START_SECONDS) == status
        assert says in dev.text
        assert "Traceback" not in dev.text
