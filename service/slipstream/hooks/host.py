"""The edge's side of a tenant's hook chain: events in order of urgency to one child, each within its budget.

A chain that fails costs the one event at which it failed, which is withheld; the child is killed and made anew, and the
events after it go on. One that fails again and again is left alone for a while: everything is withheld at once.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Sequence
from enum import StrEnum
from typing import Final

from slipstream.hooks.child import CannotStart, Child, Secret
from slipstream.hooks.wire import Frame, Garbage, Plan, answered, ask
from slipstream.hooks.work import Batch, Window, Work
from slipstream.protocol.errors import Code, SlipstreamError
from slipstream.resilience.backoff import Backoff
from slipstream.resilience.breaker import Breaker
from slipstream.shape.event import Dropped, Event, Outcome, Withheld

_logger = logging.getLogger(__name__)

_STEADY: Final = 10.0


class Cause(StrEnum):
    """Why an event that was shown to the chain is not sent: but for `DROPPED` it is withheld."""

    DROPPED = "dropped"
    RAISED = "raised"
    LATE = "late"
    DIED = "died"
    GARBAGE = "garbage"
    REFUSED = "refused"


class Host:
    """One tenant's chain. `run` is answered while `serve` runs. `secret`: one of the tenant's, by its name.

    counts: events that are not sent, by cause. starts: children so far.
    """

    def __init__(
        self,
        plan: Plan,
        secret: Secret,
        counts: Counter[Cause] | None = None,
        window: Window | None = None,
        breaker: Breaker | None = None,
    ) -> None:
        self.counts: Counter[Cause] = Counter() if counts is None else counts
        self.starts = 0
        self._plan = plan
        self._secret = secret
        self._breaker = breaker or Breaker(5, 1.0, 60.0)
        self._budget = plan.budget_ms / 1_000
        self._work = Work(window or Window())
        self._wake = asyncio.Event()
        self._child: Child | None = None
        self._asked = 0
        self._due = 0.0
        self._grace = False
        self._timer: asyncio.TimerHandle | None = None
        self._cause = Cause.DIED

    @property
    def pid(self) -> int | None:
        """The child's process id, None while none is ready."""
        return None if self._child is None else self._child.pid

    @property
    def refusing(self) -> bool:
        """Whether the chain is left alone now, and everything withheld."""
        return self._breaker.refuses(asyncio.get_running_loop().time())

    async def run(self, events: Sequence[Event], *, urgent: bool) -> list[Outcome]:
        """What the chain makes of each event, in order; urgent events overtake all that are not in the child yet.

        What a hook does wrong is in the outcomes. Raises UPSTREAM_UNAVAILABLE when `serve` ends meanwhile.
        """
        if not events:
            return []
        if self.refusing:
            return [self._withhold(Cause.REFUSED) for _ in events]
        batch = Batch(events, asyncio.get_running_loop().create_future(), urgent=urgent)
        self._work.add(batch)
        self._wake.set()
        self._send()
        try:
            await batch.done
        finally:
            if len(batch.outcomes) < len(events):
                self._work.withdraw(batch)
        return [batch.outcomes[place] for place in range(len(events))]

    async def serve(self) -> None:
        """Run one child after the other, the first when there is something to do; the last is killed at the end."""
        loop = asyncio.get_running_loop()
        backoff = Backoff(0.05, 1.0)
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                if not self._work.waiting:
                    continue
                began = loop.time()
                await self._live()
                self._wake.set()
                self._breaker.failed(loop.time(), random.random())  # noqa: S311 jitter is no secret
                if self.refusing:
                    self._refuse()
                    continue
                if loop.time() - began > _STEADY:
                    backoff.reset()
                await asyncio.sleep(backoff.next(random.random()))  # noqa: S311 jitter is no secret
        finally:
            self.stop()

    # -- one child's life ----------------------------------------------------------------------------------------------

    async def _live(self) -> None:
        self.starts += 1
        self._asked, self._cause = 0, Cause.DIED
        child = Child(self._plan, self._secret, self._take)
        try:
            await child.start()
            self._child = child
            self._send()
            await child.gone.wait()
        except CannotStart as error:
            _logger.warning("the hook chain of tenant %s cannot be started: %s", self._plan.tenant, error)
            return
        finally:
            self._child = None
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            await child.end()
        if child.garbage is not None:
            self._cause = Cause.GARBAGE
        _logger.warning(
            "the hook chain of tenant %s is started anew: %s", self._plan.tenant, child.garbage or self._cause.value
        )
        blamed = self._work.fail()
        if blamed is not None:
            blamed.settle(self._withhold(self._cause))

    def _send(self) -> None:
        child = self._child
        if child is None:
            return
        while job := self._work.next():
            if self._work.flight == 1:
                self._expect()
            self._asked += 1
            child.send(ask(self._asked, job.event))

    def _take(self, frame: Frame) -> None:
        job = self._work.first()
        if job is None:
            raise Garbage("an answer to nothing")
        outcome = answered(frame, self._asked - self._work.flight + 1, job.event)
        self._work.answered()
        self._breaker.succeeded()
        if isinstance(outcome, Withheld):
            self.counts[Cause.RAISED] += 1
        elif isinstance(outcome, Dropped):
            self.counts[Cause.DROPPED] += 1
        job.settle(outcome)
        if self._work.flight:
            self._expect()
        self._send()

    # -- the budget ----------------------------------------------------------------------------------------------------

    def _expect(self) -> None:
        """The child begins with the next event now: it has one budget for it."""
        loop = asyncio.get_running_loop()
        self._due, self._grace = loop.time() + self._budget, True
        if self._timer is None:
            self._timer = loop.call_at(self._due, self._look)

    def _look(self) -> None:
        self._timer = None
        if not self._work.flight or self._child is None:
            return
        loop = asyncio.get_running_loop()
        now = loop.time()
        late = now - self._due
        if late >= 0 and not self._grace:
            self._cause = Cause.LATE
            self._child.kill()
            return
        if late >= 0:
            # This process may have been held up itself, as one container the child with it: the answer may lie in the
            # pipe already. So the child gets the time by which this look is late, and one turn of the loop.
            self._due, self._grace = now + min(late, self._budget), False
        self._timer = loop.call_at(self._due, self._look)

    # -- what is withheld ----------------------------------------------------------------------------------------------

    def _withhold(self, cause: Cause) -> Withheld:
        self.counts[cause] += 1
        match cause:
            case Cause.LATE:
                return Withheld(f"the hook chain took longer than {self._plan.budget_ms:g} ms")
            case Cause.GARBAGE:
                return Withheld("the hook chain answered what is no event")
            case Cause.REFUSED:
                return Withheld("the hook chain has failed again and again and is left alone for a while")
            case _:
                return Withheld("the hook chain ended in the middle of the event")

    def _refuse(self) -> None:
        for job in self._work.drain():
            job.settle(self._withhold(Cause.REFUSED))

    def stop(self) -> None:
        """Nobody serves any more: whoever waits in `run` is told."""
        for job in self._work.drain():
            if not job.batch.done.done():
                message = f"the hook chain of tenant {self._plan.tenant} is being stopped"
                job.batch.done.set_exception(SlipstreamError(Code.UPSTREAM_UNAVAILABLE, message, retry_after=1.0))
