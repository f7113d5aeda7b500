"""Which connection has which topics, and how many events it is due. Pure; seeded, so that two runs are the same."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode

from loadtest.scenario import Scenario, Topics
from loadtest.servers import TENANT

PREFIX: Final = "load"
_SEED: Final = 11
_INSPECT_ONE_IN: Final = 50


def topic(number: int) -> str:
    """The name of a topic."""
    return f"{PREFIX}.{number}"


def chosen(topics: Topics, connections: int) -> list[list[int]]:
    """The topics of each connection by number; an empty list stands for all of them."""
    if topics.each == "all":
        return [[] for _ in range(connections)]
    if topics.each == "own":
        return [[number % topics.count] for number in range(connections)]
    dice = random.Random(_SEED)
    return [sorted(dice.sample(range(topics.count), topics.subset)) for _ in range(connections)]


def target(topics: Sequence[int]) -> str:
    """Path and query of a stream of these topics. A refusal has its status, which a count shows by its reason."""
    filters = [topic(number) for number in topics] or [f"{PREFIX}.>"]
    return "/v1/events?" + urlencode({"topic": filters, "tenant": TENANT, "refusal": "status"}, doseq=True)


def due(topics: Sequence[Sequence[int]], published: Sequence[int]) -> list[int]:
    """How many events each connection is to get, from how many each topic had."""
    everything = sum(published)
    return [sum(published[number] for number in own) if own else everything for own in topics]


@dataclass(frozen=True, slots=True)
class Groups:
    """Connections by number: inspected ones, slow ones, the client library's, and all others, which only count."""

    inspected: list[int]
    slow: list[int]
    library: list[int]
    counting: list[int]


def groups(scenario: Scenario) -> Groups:
    """One connection in 50 is inspected; the slow ones and the library's are others. All lie evenly among the rest."""
    numbers = range(scenario.connections)
    inspected = list(numbers[::_INSPECT_ONE_IN])
    rest = [number for number in numbers if number % _INSPECT_ONE_IN]
    slow = random.Random(_SEED).sample(rest, min(scenario.slow_connections, len(rest)))
    left = sorted(set(rest).difference(slow))
    wanted = min(scenario.library_connections, len(left))
    library = left[:: max(1, len(left) // max(1, wanted))][:wanted]
    return Groups(inspected, sorted(slow), library, sorted(set(left).difference(library)))
