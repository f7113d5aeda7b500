"""Faults of the nats-servers."""

import asyncio
import random

from tests.faults.cluster import NODES
from tests.faults.fault import fault
from tests.faults.load import TENANTS
from tests.faults.world import World
from tests.servers import NatsServer


async def _leader(world: World, dice: random.Random) -> tuple[str, NatsServer]:
    stream = f"SSE_{dice.choice(TENANTS)}"
    return stream, world.cluster.nodes[await world.control.leader(stream)]


async def _settled(world: World, *nodes: NatsServer) -> None:
    """Wait until the nodes serve and hold all there is: only then may the next one go."""
    await world.back(*nodes)
    await world.control.until_whole([f"SSE_{tenant}" for tenant in TENANTS])


async def _killed(world: World, dice: random.Random, *nodes: NatsServer) -> None:
    """SIGKILL of these nodes at once, which are started again after 0.5 to 2 s."""
    with world.away(*nodes):
        await asyncio.gather(*(node.kill() for node in nodes))
        await asyncio.sleep(dice.uniform(0.5, 2.0))
    await _settled(world, *nodes)


@fault(
    "follower-kill",
    does="SIGKILL of a node that leads no tenant's stream",
    undone="started again after 0.5 to 2 s",
    seconds=5,
    touches="nodes",
)
async def follower_kill(world: World, dice: random.Random) -> str:
    leaders = {await world.control.leader(f"SSE_{tenant}") for tenant in TENANTS}
    node = dice.choice([node for number, node in enumerate(world.cluster.nodes) if number not in leaders])
    await _killed(world, dice, node)
    return node.name


@fault(
    "leader-kill",
    does="SIGKILL of the node that leads the tenant's stream: nothing is stored before an election",
    undone="started again after 0.5 to 2 s",
    seconds=12,
    touches="nodes",
    promised=10.0,
)
async def leader_kill(world: World, dice: random.Random) -> str:
    stream, node = await _leader(world, dice)
    await _killed(world, dice, node)
    return f"{node.name}, the leader of {stream}"


@fault(
    "all-nodes-kill",
    does="SIGKILL of all nodes at once",
    undone="all started again after 0.5 to 2 s",
    seconds=15,
    touches="nodes edges network clients history",
)
async def all_kill(world: World, dice: random.Random) -> str:
    await _killed(world, dice, *world.cluster.nodes)
    return f"{NODES} nodes"


@fault(
    "leader-stop",
    does="SIGSTOP of the leader for 3 to 8 s: its connections stay, and it answers nothing",
    undone="SIGCONT",
    seconds=10,
    touches="nodes",
)
async def leader_stop(world: World, dice: random.Random) -> str:
    stream, node = await _leader(world, dice)
    seconds = dice.uniform(3.0, 8.0)
    with world.away(node):
        node.pause()
        await asyncio.sleep(seconds)
    await _settled(world, node)
    return f"{node.name}, the leader of {stream}, for {seconds:.1f} s"


@fault(
    "step-down",
    does="the leader of the stream is asked to hand over, as before a planned restart",
    undone="nothing to undo",
    seconds=2,
    touches="nodes",
    promised=1.0,
)
async def step_down(world: World, dice: random.Random) -> str:
    stream, node = await _leader(world, dice)
    await world.control.step_down(stream)
    await _settled(world)
    return f"{stream} from {node.name} to nats-{await world.control.leader(stream)}"


@fault(
    "leader-term",
    does="SIGTERM of the node that leads the stream, as in a rolling update of NATS",
    undone="started again when it is gone",
    seconds=8,
    touches="nodes",
)
async def leader_term(world: World, dice: random.Random) -> str:
    stream, node = await _leader(world, dice)
    with world.away(node):
        await node.terminate()
    await _settled(world, node)
    return f"{node.name}, the leader of {stream}"
