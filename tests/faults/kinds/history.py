"""Faults that destroy history, each on a tenant of its own: all readers must be told."""

import asyncio
import random
import shutil
from pathlib import Path

from tests.faults.cluster import COPIES
from tests.faults.fault import fault
from tests.faults.scene import Scene
from tests.faults.world import World
from tests.proof.checker import Log, Loss
from tests.proof.eras import Era
from tests.servers import NatsServer

MANY = {"replicas": COPIES, "retention": {"max_bytes": "64MiB"}}
FEW_BYTES = {"replicas": COPIES, "retention": {"max_bytes": "24KiB"}}
ONE_COPY = {"replicas": 1, "retention": {"max_bytes": "64MiB"}}
WRITTEN_SECONDS = 1.0
"""A stream's file has what was acknowledged so long ago: nats-server writes at once, and syncs later."""


@fault(
    "recreated",
    does="the stream of a tenant is deleted and made anew, with readers on it and one away",
    undone="events go on in the new stream",
    checks="everybody is told `reset`, and gets all of the new stream",
    seconds=6,
    touches="history",
)
async def recreated(world: World, dice: random.Random) -> str:
    async with Scene.open(world, "recreated", MANY) as scene:
        await scene.publish(dice.randint(20, 60))
        await scene.seen()
        await scene.absent.leave()
        before, scene.acked = scene.acked, {}
        await world.control.call(f"STREAM.DELETE.{scene.stream}")
        await scene.apply()
        await scene.publish(dice.randint(5, 60))
        scene.absent.come()
        await scene.seen()
        scene.judge([Era(Log(before)), Era(Log(scene.acked), ("reset",))])
    return f"{scene.tenant}: {len(before)} events, then {len(scene.acked)}"


@fault(
    "expired",
    does="retention takes what a reader who is away has not had",
    undone="it comes back",
    checks="it is told `expired`, up to the first that is left; those who were there are told nothing untrue",
    seconds=6,
    touches="history",
)
async def expired(world: World, dice: random.Random) -> str:
    async with Scene.open(world, "expired", FEW_BYTES) as scene:
        await scene.publish(dice.randint(10, 20))
        await scene.seen()
        await scene.absent.leave()
        await scene.publish(dice.randint(150, 250))
        await scene.seen(scene.present)
        scene.absent.come()
        await scene.seen()
        state = (await world.control.call(f"STREAM.INFO.{scene.stream}"))["state"]
        scene.judge([Era(Log(scene.acked, losses=[Loss("expired", 1, int(state["first_seq"]) - 1)]))])
    return f"{scene.tenant}: {len(scene.acked)} events, the first {state['first_seq'] - 1} are gone"


@fault(
    "tail-lost",
    does="the node of a stream with one copy loses its power: killed, and its files are those of a moment ago",
    undone="started again; other events get the numbers of those that are lost",
    checks="everybody who had them is told `ahead` or `rewritten`, and gets all that came since",
    seconds=15,
    touches="history nodes",
)
async def tail_lost(world: World, dice: random.Random) -> str:
    async with Scene.open(world, "tail-lost", ONE_COPY) as scene:
        await scene.publish(dice.randint(20, 40))
        await scene.seen()
        kept = dict(scene.acked)
        node = world.cluster.nodes[await world.control.leader(scene.stream)]
        await asyncio.sleep(WRITTEN_SECONDS)
        aside = world.cluster.folder / scene.tenant
        shutil.copytree(_files(node, scene.stream), aside)
        await scene.publish(dice.randint(5, 20))
        await scene.seen()
        await scene.absent.leave()
        before, scene.acked = scene.acked, dict(kept)
        with world.away(node):
            await node.kill()
            shutil.rmtree(_files(node, scene.stream))
            shutil.copytree(aside, _files(node, scene.stream))
        await world.back(node)
        await scene.publish(dice.randint(1, 40))
        scene.absent.come()
        await scene.seen()
        scene.judge([Era(Log(before)), Era(Log(scene.acked), ("ahead", "rewritten"), len(kept) + 1)])
    return f"{scene.tenant} on {node.name}: {len(before) - len(kept)} events lost"


def _files(node: NatsServer, stream: str) -> Path:
    return node.store / "jetstream" / "$G" / "streams" / stream
