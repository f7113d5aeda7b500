"""What a fault is, and the registry of all kinds."""

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from tests.faults.world import World

Inject = Callable[[World, random.Random], Awaitable[str]]
"""Does the fault and undoes it; answers what was seen. Raises `Violation` when the fault's own invariant is broken."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One kind.

    does, undone, checks: what happens, how it ends, and what must hold beyond the general, for people. seconds: about
    how long it takes, calm not included. touches: two that touch the same are never injected at once. lacks: what
    this machine has not got for it, "" if nothing.
    """

    name: str
    does: str
    undone: str
    checks: str
    seconds: float
    touches: frozenset[str]
    lacks: Callable[[], str] = field(compare=False)
    inject: Inject = field(compare=False)


KINDS: Final[dict[str, Fault]] = {}
"""All kinds by name; filled by the modules of `tests.faults.kinds`."""


def fault(
    name: str,
    *,
    does: str,
    undone: str,
    checks: str = "",
    seconds: float,
    touches: str,
    lacks: Callable[[], str] = str,
) -> Callable[[Inject], Inject]:
    """Register a function as a kind."""

    def register(inject: Inject) -> Inject:
        if name in KINDS:
            raise ValueError(f"two faults are named {name}")
        KINDS[name] = Fault(name, does, undone, checks, seconds, frozenset(touches.split()), lacks, inject)
        return inject

    return register
