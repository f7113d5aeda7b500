"""Faults of the machine under an edge: its clock, its descriptors."""

import asyncio
import random
import shutil
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from tests.faults.fault import fault
from tests.faults.load import TENANTS
from tests.faults.visit import visit
from tests.faults.world import Violation, World
from tests.process import wait_until
from tests.servers import HOST, Edge

FAKETIME: Final = "*/faketime/libfaketime.so.1"
EVENTS: Final = 60
READ_SECONDS: Final = 20.0
DESCRIPTORS: Final = 200
KNOCKS: Final = 300
HOLD_SECONDS: Final = 5.0
LOG_BYTES: Final = 1_000_000
"""More than this in a few seconds is a loop that spins (bare asyncio: 81,840 lines in 5 s, measured)."""


@asynccontextmanager
async def _restarted(
    world: World, edge: Edge, *, env: Mapping[str, str] | None = None, prefix: Sequence[str] = ()
) -> AsyncIterator[None]:
    """The edge runs with another environment, or under another command, until the block ends."""
    argv, environment = edge.argv, edge.env
    with world.away(edge):
        await world.drain(edge)
        edge.argv, edge.env = [*prefix, *argv], environment | dict(env or {})
    try:
        await world.back(edge)
        yield
    finally:
        edge.argv, edge.env = argv, environment
        with world.away(edge):
            if edge.alive:
                await edge.kill()
    await world.back(edge)


async def _reads(world: World, edge: Edge, dice: random.Random) -> None:
    """A reader of this edge alone gets many events. Raises Violation when it does not."""
    tenant = dice.choice(TENANTS)
    try:
        async with visit(world, tenant, world.fresh(f"{tenant} at {edge.name}"), edge.port) as guest:
            have = len(guest.reader.history.items)

            async def more() -> bool:
                return len(guest.reader.history.items) >= have + EVENTS

            await wait_until(more, seconds=READ_SECONDS, what=f"{edge.name} delivers {EVENTS} events")
    except TimeoutError as error:
        raise Violation(str(error)) from error


def _faketime() -> Path | None:
    return next(Path("/usr/lib").glob(FAKETIME), None)


def _no_faketime() -> str:
    return "" if _faketime() else "there is no libfaketime: apt-get install libfaketime"


async def _skewed(world: World, dice: random.Random, by: str) -> str:
    edge = dice.choice(world.cluster.edges)
    # Only the wall clock: the monotonic one is what the loop's timers go by, and no skew of a host moves that.
    env = {"LD_PRELOAD": str(_faketime()), "FAKETIME": by, "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    async with _restarted(world, edge, env=env):
        await _reads(world, edge, dice)
    return f"{edge.name}, {by}"


@fault(
    "clock-ahead",
    does="an edge whose clock is an hour ahead",
    undone="started again with the right time",
    checks="a reader of this edge alone gets all events",
    seconds=12,
    touches="edges",
    lacks=_no_faketime,
)
async def clock_ahead(world: World, dice: random.Random) -> str:
    return await _skewed(world, dice, "+1h")


@fault(
    "clock-behind",
    does="an edge whose clock is an hour behind",
    undone="started again with the right time",
    checks="a reader of this edge alone gets all events",
    seconds=12,
    touches="edges",
    lacks=_no_faketime,
)
async def clock_behind(world: World, dice: random.Random) -> str:
    return await _skewed(world, dice, "-1h")


@fault(
    "descriptors",
    does=f"{KNOCKS} connections that say nothing, at an edge that may have {DESCRIPTORS} descriptors",
    undone=f"they leave after {HOLD_SECONDS:g} s; the edge is started again without the limit",
    checks="a stream that was there goes on, new ones come in afterwards, and the log does not run full",
    seconds=16,
    touches="edges clients",
    lacks=lambda: "" if shutil.which("prlimit") else "there is no prlimit: apt-get install util-linux",
)
async def descriptors(world: World, dice: random.Random) -> str:
    edge = dice.choice(world.cluster.edges)
    limited = ["prlimit", f"--nofile={DESCRIPTORS}:{DESCRIPTORS}"]
    async with _restarted(world, edge, prefix=limited):
        written = edge.log.stat().st_size
        async with visit(world, dice.choice(TENANTS), world.fresh(f"visitor of {edge.name}"), edge.port) as guest:
            knocks = []
            try:
                for _ in range(KNOCKS):
                    near = socket.socket()
                    knocks.append(near)
                    near.setblocking(False)
                    await asyncio.wait_for(asyncio.get_running_loop().sock_connect(near, (HOST, edge.port)), 5)
                have = len(guest.reader.history.items)
                await asyncio.sleep(HOLD_SECONDS)
                got = len(guest.reader.history.items) - have
            except TimeoutError as error:
                raise Violation(f"{edge.name} accepts nothing: {len(knocks)} connections") from error
            finally:
                for near in knocks:
                    near.close()
        await _reads(world, edge, dice)
        written = edge.log.stat().st_size - written
    if not got:
        raise Violation(f"{edge.name} sent nothing to its reader while it had no descriptors left")
    if written > LOG_BYTES:
        raise Violation(f"{edge.name} wrote {written:,} bytes of log")
    return f"{edge.name}: {got} events to its reader meanwhile, {written:,} bytes of log"
