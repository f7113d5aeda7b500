"""Faults of those who read and those who publish."""

import asyncio
import itertools
import json
import os
import random
import shutil
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.faults.cluster import HEARTBEAT_SECONDS
from tests.faults.fault import fault
from tests.faults.load import TENANTS, OverNats
from tests.faults.world import Violation, World
from tests.process import wait_until
from tests.proof.plan import demo_items
from tests.servers import HOST, REPOSITORY, Edge

SLOW_SECONDS: Final = 40.0
"""Buffers of both ends are full after some 6 to 12 s, by the size of events, and the write deadline is 4 s."""
NOTICED_SECONDS: Final = 2 * HEARTBEAT_SECONDS + 2.0
"""Within two heartbeats, and the time between two looks of the kernel's timer."""
REPLAYS: Final = 25
SENT: Final = 30
GONE_SECONDS: Final = 5.0
READ_SECONDS: Final = 10.0
AGAIN_SECONDS: Final = 0.2


@fault(
    "slow-reader",
    does="readers with small buffers take nothing until they are sent away",
    undone="they read on, and come back where they were sent away",
    checks="the edge ends their connections; nobody else waits for them",
    seconds=20,
    touches="clients edges",
)
async def slow_reader(world: World, dice: random.Random) -> str:
    slow = [reader for reader in world.readers if reader.plan.slow]
    began = asyncio.get_running_loop().time()

    async def sent_away() -> bool:
        peers = {reader.near for reader in slow}
        return not any(_held(edge.port, peers) for edge in world.cluster.edges)

    for reader in slow:
        reader.flowing.clear()
    try:
        await wait_until(sent_away, seconds=SLOW_SECONDS, what=f"{len(slow)} readers that take nothing are sent away")
    except TimeoutError as error:
        raise Violation(str(error)) from error
    finally:
        for reader in slow:
            reader.flowing.set()
    return f"{len(slow)} readers, after {asyncio.get_running_loop().time() - began:.1f} s"


def _no_iptables() -> str:
    if os.geteuid() != 0:
        return "it drops packets by iptables, for which one must be root"
    return "" if shutil.which("iptables") else "there is no iptables: apt-get install iptables"


@contextmanager
def _dropped(near: int, far: int) -> Iterator[None]:
    """Packets between two ports of this host go nowhere, in both directions."""
    rules = [
        ["INPUT", "-i", "lo", "-p", "tcp", "--sport", str(a), "--dport", str(b), "-j", "DROP"]
        for a, b in ((near, far), (far, near))
    ]
    done: list[list[str]] = []
    try:
        for rule in rules:
            subprocess.run(["iptables", "-w", "5", "-I", *rule], check=True, capture_output=True)
            done.append(rule)
        yield
    finally:
        for rule in done:
            subprocess.run(["iptables", "-w", "5", "-D", *rule], check=True, capture_output=True)


def _held(port: int, peers: set[int]) -> int:
    """How many open connections this host has at `port` with one of these ports behind them (proc(5))."""
    found = 0
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, near, far, state, *_ = line.split()
        # Neither TIME_WAIT (06) nor CLOSE (07): those hold no descriptor.
        if int(near.rpartition(":")[2], 16) == port and int(far.rpartition(":")[2], 16) in peers:
            found += state not in ("06", "07")
    return found


async def _open(edge: Edge, tenant: str, query: str) -> socket.socket:
    """A stream whose first bytes have come, on a bare socket; a refusal that passes is waited for, for 10 s."""
    async with asyncio.timeout(READ_SECONDS):
        while True:
            near, head = await _ask(edge, tenant, query)
            if head.startswith(b"HTTP/1.1 200"):
                return near
            near.close()
            if not head.startswith((b"HTTP/1.1 503", b"HTTP/1.1 429")):
                raise Violation(f"{edge.name} answered {head[:200]!r}")
            await asyncio.sleep(AGAIN_SECONDS)


async def _ask(edge: Edge, tenant: str, query: str) -> tuple[socket.socket, bytes]:
    loop = asyncio.get_running_loop()
    near = socket.socket()
    near.setblocking(False)
    try:
        await loop.sock_connect(near, (HOST, edge.port))
        await loop.sock_sendall(
            near, f"GET /v1/events?{query} HTTP/1.1\r\nHost: {HOST}\r\nX-Tenant-ID: {tenant}\r\n\r\n".encode()
        )
        return near, await loop.sock_recv(near, 1024)
    except BaseException:
        near.close()
        raise


@fault(
    "half-open-reader",
    does="a reader's host vanishes: no packet of its connection arrives any more, in either direction",
    undone="the packets pass again when the edge has given it up",
    checks=f"the edge gives the connection up within {NOTICED_SECONDS:g} s: two heartbeats and 2 s",
    seconds=8,
    touches="clients edges",
    lacks=_no_iptables,
)
async def half_open(world: World, dice: random.Random) -> str:
    edge, loop = dice.choice(world.cluster.edges), asyncio.get_running_loop()
    near = await _open(edge, dice.choice(TENANTS), "since=now")
    port = near.getsockname()[1]

    async def gone() -> bool:
        return not _held(edge.port, {port})

    try:
        with _dropped(port, edge.port):
            began = loop.time()
            try:
                await wait_until(gone, seconds=3 * NOTICED_SECONDS, what="the edge gives it up")
            except TimeoutError as error:
                raise Violation(f"{edge.name}: {error}") from error
            took = loop.time() - began
    finally:
        near.close()
    if took > NOTICED_SECONDS:
        raise Violation(f"{edge.name} noticed after {took:.1f} s that its reader is gone")
    return f"{edge.name} noticed after {took:.1f} s"


@fault(
    "reset-mid-replay",
    does=f"{REPLAYS} readers ask for all there is, and reset the connection when it begins to come",
    undone="nothing to undo",
    checks=f"the edge holds none of these connections {GONE_SECONDS:g} s later",
    seconds=4,
    touches="clients edges",
)
async def reset_mid_replay(world: World, dice: random.Random) -> str:
    edge, ports = dice.choice(world.cluster.edges), set[int]()
    for _ in range(REPLAYS):
        near = await _open(edge, dice.choice(TENANTS), "since=earliest")
        ports.add(near.getsockname()[1])
        await asyncio.sleep(dice.uniform(0.0, 0.02))
        near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        near.close()

    async def gone() -> bool:
        return not _held(edge.port, ports)

    try:
        await wait_until(gone, seconds=GONE_SECONDS, what="the connections are gone")
    except TimeoutError as error:
        raise Violation(f"{edge.name} holds {_held(edge.port, ports)} of {REPLAYS}: {error}") from error
    return f"{edge.name}, {REPLAYS} connections"


@fault(
    "publisher-kill",
    does=f"SIGKILL of a producer that has sent {SENT} events, and read no acknowledgement",
    undone="another sends them again, with the same ids",
    checks="each is stored once: no number of the log is left without an acknowledgement",
    seconds=4,
    touches="publishers",
)
async def publisher_kill(world: World, dice: random.Random) -> str:
    publisher = dice.choice([one for one in world.load.publishers if isinstance(one, OverNats)])
    name = world.fresh("killed")
    items = list(itertools.islice(demo_items(publisher.tenant, name), SENT))
    lines = [[f"sse.{one.tenant}.{one.event.topic}", one.id, one.event.name, one.event.data] for one in items]
    # Counted as begun before they are sent: readers may hear of them at once.
    publisher.book.started += SENT
    await _sent_and_killed(world, "".join(f"{json.dumps(line)}\n" for line in lines))
    publisher.book.started -= SENT
    async with asyncio.TaskGroup() as group:
        for one in items:
            group.create_task(publisher.until_acked(one), name=f"again {one.id}")
    return f"{SENT} events of {publisher.tenant}"


async def _sent_and_killed(world: World, lines: str) -> None:
    """Run `tests.faults.sender` until it has sent all, and not one moment longer."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.faults.sender",
        *world.cluster.urls,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=REPOSITORY,
    )
    try:
        async with asyncio.timeout(READ_SECONDS):
            if process.stdin is not None and process.stdout is not None:
                process.stdin.write(lines.encode())
                process.stdin.write_eof()
                if not await process.stdout.readline():
                    raise Violation("the producer ended by itself")
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
