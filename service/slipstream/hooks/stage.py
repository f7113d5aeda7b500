"""One tenant's events on their way to the log: each is shown to the tenant's foreign hooks before anybody reads it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import count
from typing import Final, NamedTuple, Protocol

from slipstream.hooks.child import Secret
from slipstream.hooks.host import Cause, Host
from slipstream.hooks.wire import Plan
from slipstream.protocol.event import Record
from slipstream.resilience.context import within
from slipstream.resilience.supervise import Supervisor
from slipstream.shape.event import Event, Undeliverable, Withheld

_GROUP: Final = 32
_GROUP_BYTES: Final = 64 * 1_024
"""How many records, and bytes of them (one always), are masked at once: more would hold up the loop."""

_numbers = count(1)


class Shaper(Protocol):
    """What the stage asks of `shape.shaper.Shaper`."""

    @property
    def foreign(self) -> bool:
        """Whether the chain has hooks that are not built in."""
        ...

    @property
    def masks(self) -> tuple[frozenset[str], ...]:
        """Every set of scopes that makes a difference."""
        ...

    def masked(self, record: Record, epoch: str, scopes: frozenset[str]) -> Event | Withheld | Undeliverable:
        """What the readers with `scopes` may see, before hooks."""
        ...


class Setup(NamedTuple):
    """How one tenant's events are shaped now. A new one, with another `shaper`, replaces the chain.

    plan: for the child. secret: one of the tenant's by its name; raises SecretMissing. Both are asked for only where
    the shaper is foreign.
    """

    shaper: Shaper
    plan: Callable[[], Plan]
    secret: Secret


class Stage:
    """Fills `Record.shaped`. `setup()` is asked before each group of records and must be cheap.

    epoch: of the log that the tail is at. holders: feeds that go through it; with the last one the child ends. counts:
    events that are not sent, by cause, over all children.
    """

    def __init__(self, tenant: str, setup: Callable[[], Setup], supervisor: Supervisor) -> None:
        self.tenant = tenant
        self.epoch = ""
        self.holders = 0
        self.host: Host | None = None
        self.counts: Counter[Cause] = Counter()
        self._setup = setup
        self._supervisor = supervisor
        self._shaper: Shaper | None = None
        self._serving: asyncio.Task[None] | None = None

    @property
    def foreign(self) -> bool:
        """Whether there is anything to prepare."""
        return self._setup().shaper.foreign

    async def prepare(self, records: Sequence[Record], epoch: str, *, urgent: bool = False) -> None:
        """Fill `shaped` of every record that is an event and has none yet: the outcome for each of the shaper's masks.

        Nothing to do where the shaper is not foreign. `urgent` records overtake all others. Raises UPSTREAM_UNAVAILABLE
        when the chain is stopped meanwhile.
        """
        todo = [one for one in records if one.fault is None and one.shaped is None]
        while todo and (setup := self._setup()).shaper.foreign:
            shaped: list[dict[frozenset[str], object]] = []
            for group in _groups(todo):
                shaped += await self._shaped(group, epoch, setup, urgent=urgent)
                if self._setup().shaper is not setup.shaper:
                    # What a document has shaped that is not the tenant's any more must not be seen: do it again.
                    break
            else:
                for record, views in zip(todo, shaped, strict=True):
                    record.shaped = views
                    kept = {id(one): len(one.data) for one in views.values() if isinstance(one, Event)}
                    record.shaped_bytes = sum(kept.values())
                return

    async def _shaped(
        self, group: Sequence[Record], epoch: str, setup: Setup, *, urgent: bool
    ) -> list[dict[frozenset[str], object]]:
        masked = [
            {scopes: setup.shaper.masked(record, epoch, scopes) for scopes in setup.shaper.masks} for record in group
        ]
        # Most readers' views of most events are the same bytes: those go through the chain once.
        events = list(dict.fromkeys(one for views in masked for one in views.values() if isinstance(one, Event)))
        outcomes = dict(zip(events, await self._hosted(setup).run(events, urgent=urgent), strict=True))
        return [
            {scopes: outcomes[one] if isinstance(one, Event) else one for scopes, one in views.items()}
            for views in masked
        ]

    def _hosted(self, setup: Setup) -> Host:
        """The host of the setup's chain, being served."""
        if self.host is None or self._shaper is not setup.shaper:
            self.leave()
            self._shaper = setup.shaper
            self.host = Host(setup.plan(), setup.secret, self.counts)
        if self._serving is None or self._serving.done():
            name = f"hooks-{self.tenant}-{next(_numbers)}"
            self._serving = self._supervisor.start(name, within(self.tenant, self.host.serve))
            # Not left to `serve`: it may be ended before it began, or while it waits to be started again.
            self._serving.add_done_callback(partial(_told, self.host))
        return self.host

    def leave(self) -> asyncio.Task[None] | None:
        """End the child; the next record that needs one gets a new one. The task that ends with it, if there is one."""
        serving, self._serving, self.host = self._serving, None, None
        if serving is not None:
            serving.cancel()
        return serving


def _told(host: Host, _: asyncio.Task[None]) -> None:
    host.stop()


def _groups(records: Sequence[Record]) -> Iterator[list[Record]]:
    group: list[Record] = []
    size = 0
    for record in records:
        if group and (len(group) == _GROUP or size + len(record.data) > _GROUP_BYTES):
            yield group
            group, size = [], 0
        group.append(record)
        size += len(record.data)
    if group:
        yield group
