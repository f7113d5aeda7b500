"""Faults of an edge."""

import asyncio
import random

from tests.faults.fault import fault
from tests.faults.world import World


@fault(
    "edge-kill",
    does="SIGKILL of an edge, as its node dies or the kernel kills it for memory",
    undone="started again after 0.2 to 2 s",
    seconds=4,
    touches="edges",
    promised=2.0,
)
async def kill(world: World, dice: random.Random) -> str:
    edge = world.cluster.edges[world.busy(dice)]
    with world.away(edge):
        await edge.kill()
        await asyncio.sleep(dice.uniform(0.2, 2.0))
    await world.back(edge)
    return edge.name


@fault(
    "edge-drain",
    does="SIGTERM of an edge, as in a rolling update",
    undone="started again at once",
    checks="it ends with status 0 within its window and 5 s",
    seconds=5,
    touches="edges",
)
async def drain(world: World, dice: random.Random) -> str:
    edge = world.cluster.edges[world.busy(dice)]
    with world.away(edge):
        took = await world.drain(edge)
    await world.back(edge)
    return f"{edge.name} in {took:.1f} s"


@fault(
    "edge-stop",
    does="SIGSTOP of an edge for 2 to 6 s: its loop stalls, its connections stay",
    undone="SIGCONT",
    seconds=6,
    touches="edges",
)
async def stop(world: World, dice: random.Random) -> str:
    edge, seconds = world.cluster.edges[world.busy(dice)], dice.uniform(2.0, 6.0)
    with world.away(edge):
        edge.pause()
        await asyncio.sleep(seconds)
    await world.back(edge)
    return f"{edge.name} for {seconds:.1f} s"
