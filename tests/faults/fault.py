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
    this machine has not got for it, "" if nothing. promised: seconds within which everybody gets and stores events
    again, the client's own retry not counted; None where nothing is promised.
    """

    name: str
    does: str
    undone: str
    checks: str
    seconds: float
    touches: frozenset[str]
    lacks: Callable[[], str] = field(compare=False)
    inject: Inject = field(compare=False)
    promised: float | None = None


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
    promised: float | None = None,
) -> Callable[[Inject], Inject]:
    """Register a function as a kind."""

    def register(inject: Inject) -> Inject:
        if name in KINDS:
            raise ValueError(f"two faults are named {name}")
        touched = frozenset(touches.split())
        KINDS[name] = Fault(name, does, undone, checks, seconds, touched, lacks, inject, promised)
        return inject

    return register
