"""`python -m loadtest.leaks`: rounds of clients that come and go badly, and what is left of them in the edge.

After each round, once the edge is at rest, its descriptors, tasks, places in quotas and memory are counted.
Descriptors, tasks and places must be what they were after the first round, exactly. Memory may grow while allocators
find their size: what counts is its slope over the second half of the rounds.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from loadtest.child import ChildFailed, child
from loadtest.command import carry_out, parser
from loadtest.measure import Settings, Show
from loadtest.monitoring import status
from loadtest.procfs import descriptors, resident
from loadtest.result import Aim, Result
from loadtest.servers import TENANT, Stack, stack
from slipstream.cli.dev.ports import HOST
from slipstream.client import Publisher
from slipstream.demo import flights

_EVENTS: Final = 2_000
_ROUND_SECONDS: Final = 120.0
_REST_SECONDS: Final = 60.0
_KIB: Final = 1024
_LEAST_OBJECT: Final = 40.0
"""Bytes; less than the smallest object with attributes that could stay behind for each client (56 in CPython 3.11)."""


@dataclass(frozen=True, slots=True)
class Rest:
    """What an edge at rest holds. tasks: of each kind; places: in use in quotas; anonymous: bytes."""

    descriptors: int
    tasks: dict[str, int]
    places: int
    anonymous: int

    @property
    def counted(self) -> tuple[int, dict[str, int], int]:
        """What has to be the same after every round."""
        return self.descriptors, self.tasks, self.places


def slope(sizes: Sequence[int]) -> float:
    """Growth for each round over the second half, by least squares (bytes)."""
    half = sizes[len(sizes) // 2 :]
    middle, mean = (len(half) - 1) / 2, sum(half) / len(half)
    spread = sum((at - middle) ** 2 for at in range(len(half)))
    return sum((at - middle) * (size - mean) for at, size in enumerate(half)) / spread if spread else 0.0


def faults(rests: Sequence[Rest]) -> list[str]:
    """What was left behind, in words."""
    first = rests[0]
    return [
        f"after round {number}: {rest.descriptors} descriptors, {rest.places} places, tasks {rest.tasks}; "
        f"after the first {first.descriptors}, {first.places}, {first.tasks}"
        for number, rest in enumerate(rests[1:], 2)
        if rest.counted != first.counted
    ]


async def leaks(settings: Settings, clients: int, rounds: int, show: Show) -> Result:
    """So many rounds of so many clients."""
    show("starting nats-server and the edge")
    environment = {"SLIPSTREAM_HEAD_DEADLINE": "3", "SLIPSTREAM_WRITE_DEADLINE": "3", "SLIPSTREAM_HEARTBEAT": "3"}
    async with stack(
        settings.cores, connections=clients, store=settings.store, loop=settings.loop, settings=environment
    ) as servers:
        await _publish(servers, show)
        rests: list[Rest] = []
        done: Counter[str] = Counter()
        for number in range(1, rounds + 1):
            show(f"round {number}: {clients:,} clients")
            done += await _round(settings, servers, clients, number)
            rests.append(await _at_rest(servers))
        ended = (await status(servers))["endings"]
    growth = slope([rest.anonymous for rest in rests])
    return Result(
        "leaks",
        f"{rounds} rounds of {clients:,} clients that come and go badly",
        growth / clients,
        Aim(_LEAST_OBJECT, "bytes of growth for each client", at_most=True),
        {
            "clients": float(rounds * clients),
            "streams that the edge ended or lost": float(sum(ended.values())),
            "KiB of growth for each round, second half": growth / _KIB,
            "MiB after the first round": rests[0].anonymous / _KIB**2,
            "MiB after the last round": rests[-1].anonymous / _KIB**2,
            "descriptors after the first round": float(rests[0].descriptors),
            "descriptors after the last round": float(rests[-1].descriptors),
            "tasks after the first round": float(sum(rests[0].tasks.values())),
            "tasks after the last round": float(sum(rests[-1].tasks.values())),
            **{f"clients: {way}": float(count) for way, count in sorted(done.items())},
        },
        faults=faults(rests),
    )


async def _publish(servers: Stack, show: Show) -> None:
    """Something to be replayed."""
    show(f"publishing {_EVENTS:,} events")
    async with Publisher(f"http://{HOST}:{servers.port}", TENANT) as publisher:
        for number, event in enumerate(flights()):
            if number == _EVENTS:
                return
            await publisher.publish(event["topic"], event["data"])


async def _round(settings: Settings, servers: Stack, clients: int, number: int) -> Counter[str]:
    argv = [sys.executable, "-m", "loadtest.rude", str(servers.port), TENANT, str(clients), str(number)]
    cores = settings.cores.others
    async with child("rude", argv, folder=servers.folder, cores=cores, pipes=True) as made:
        stdout = made.process.stdout
        try:
            async with asyncio.timeout(_ROUND_SECONDS):
                line = await stdout.readline() if stdout else b""
        except TimeoutError as error:
            raise made.failure(f"a round takes more than {_ROUND_SECONDS:g} s") from error
        if not line:
            raise made.failure("told nothing")
        return Counter(orjson.loads(line))


async def _at_rest(servers: Stack) -> Rest:
    """What the edge holds once nobody is left and two looks agree. Raises ChildFailed when that takes a minute."""
    until = time.monotonic() + _REST_SECONDS
    before: Rest | None = None
    while time.monotonic() < until:
        now = await _look(servers)
        if now is not None and before is not None and now.counted == before.counted:
            return now
        before = now
        await asyncio.sleep(2.0)  # longer than what comes and goes by itself
    raise ChildFailed(f"the edge is not at rest after {_REST_SECONDS:g} s: {await status(servers)}")


async def _look(servers: Stack) -> Rest | None:
    found: dict[str, Any] = await status(servers)
    shares = found["quotas"]["shares"]
    places = sum(share["in_use"] for share in shares.values())
    if found["connections"] or places:
        return None
    return Rest(descriptors(servers.edge_pid), found["tasks"], places, resident(servers.edge_pid).anonymous)


def main(arguments: Sequence[str]) -> int:
    """Entry point."""
    made = parser("loadtest.leaks", __doc__, connections=2_000)
    made.add_argument("--rounds", type=int, default=20, metavar="N", help="rounds (default 20)")
    options = made.parse_args(arguments)
    return carry_out("leaks", options, lambda settings, show: _run(options, settings, show))


async def _run(options: argparse.Namespace, settings: Settings, show: Show) -> Result:
    return await leaks(settings, options.connections, options.rounds, show)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
