"""Asks the tenants' authorizers: a question once for all who have it, and nothing where nobody answers."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from typing import Any, Final

from slipstream.auth.authorizer import ANSWER_BYTES, Answers, Question, Unreadable, read_answer
from slipstream.auth.claims import Token
from slipstream.edge.outbound import GaveWay, Outbound, OutboundError
from slipstream.protocol.errors import Code, SlipstreamError
from slipstream.resilience.breaker import Breaker
from slipstream.tenants.authorizer import Authorizer

_logger = logging.getLogger(__name__)

_THRESHOLD: Final = 5
_PAUSE: Final = 1.0
_PAUSE_MAX: Final = 30.0
_WAITING_MAX: Final = 8_192
"""Most questions of one tenant that are under way."""
_TENANTS_MAX: Final = 1_024
_SOON: Final = 1.0


class _Door:
    """One tenant's authorizer at one URL: whether it works, and the questions that are under way.

    Each tenant has its own, also where two share a URL: what one tenant's callers break must not shut the other out.
    """

    __slots__ = ("breaker", "flights", "gave_way", "url")

    def __init__(self, url: str) -> None:
        self.url = url
        self.breaker = Breaker(_THRESHOLD, _PAUSE, _PAUSE_MAX)
        self.flights: dict[bytes, asyncio.Task[bool | None]] = {}
        self.gave_way = False


class Authorizers:
    """`clock` is monotonic, `wall` is Unix time; both in seconds."""

    def __init__(
        self,
        outbound: Outbound,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._outbound = outbound
        self._clock = clock
        self._wall = wall
        self._answers = Answers()
        self._doors: OrderedDict[str, _Door] = OrderedDict()
        self._tasks: set[asyncio.Task[bool | None]] = set()

    async def allow(self, authorizer: Authorizer, question: Question, token: Token, text: str) -> bool:
        """Whether the tenant's authorizer lets the holder of this verified token (`text`) in.

        Raises UPSTREAM_UNAVAILABLE where it does not say: nobody is let in by its silence.
        """
        key, now = question.key(authorizer, text), self._clock()
        known = self._answers.find(question.tenant, key, now, authorizer.cache)
        if known is not None:
            return known
        door = self._door(question.tenant, authorizer.url)
        flight = door.flights.get(key)
        if flight is None:
            if len(door.flights) >= _WAITING_MAX:
                raise _away(_SOON)
            if not door.breaker.admits(now):
                raise _away(max(_SOON, door.breaker.pause(now)))
            ends = now + token.expires_at - self._wall()
            flight = self._begin(door, key, self._ask(door, authorizer, question, key, ends, text))
        # Shielded: one client that leaves must not take the answer from all others that wait for it.
        allowed = await asyncio.shield(flight)
        if allowed is None:
            raise _away(max(_SOON, door.breaker.pause(self._clock())))
        return allowed

    def settle(self, tenant: str, authorizer: Authorizer | None) -> None:
        """The tenant has this authorizer now; None where it has none, or is gone: then none fails."""
        door = self._doors.get(tenant)
        if door is not None and (authorizer is None or door.url != authorizer.url):
            del self._doors[tenant]

    def document(self) -> dict[str, object]:
        """For /statusz: answers that are remembered, questions under way, and the tenants whose authorizer fails.

        gave_way: questions that lost their connection to another tenant's. Of those that fail: failures in a row, and
        the seconds for which nobody will be asked.
        """
        now = self._clock()
        return {
            "remembered": len(self._answers),
            "asking": len(self._tasks),
            "gave_way": self._outbound.gave_way,
            "failing": {
                tenant: {"failures": door.breaker.failures, "pause": round(door.breaker.pause(now), 1)}
                for tenant, door in self._doors.items()
                if door.breaker.failures
            },
        }

    async def close(self) -> None:
        """End the questions that are under way."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _door(self, tenant: str, url: str) -> _Door:
        door = self._doors.get(tenant)
        if door is None or door.url != url:
            door = self._doors[tenant] = _Door(url)
            if len(self._doors) > _TENANTS_MAX:
                self._doors.popitem(last=False)
        self._doors.move_to_end(tenant)
        return door

    def _begin(self, door: _Door, key: bytes, asking: Coroutine[Any, Any, bool | None]) -> asyncio.Task[bool | None]:
        task = asyncio.get_running_loop().create_task(asking, name=f"authorizer-{door.url}")
        door.flights[key] = task
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda _: door.flights.pop(key))
        return task

    async def _ask(
        self, door: _Door, authorizer: Authorizer, question: Question, key: bytes, ends: float, text: str
    ) -> bool | None:
        """Its answer; None where it has none."""
        headers = {
            "Authorization": f"Bearer {text}",
            "Accept": "application/json",
            "Content-Type": "application/json",
        }
        try:
            # By the tenant, as two may have their webhook on one host.
            answer = await self._outbound.ask(
                door.url,
                question.tenant,
                seconds=authorizer.timeout,
                most=ANSWER_BYTES,
                headers=headers,
                body=question.body(),
            )
            allowed = read_answer(answer.status, answer.body)
        except GaveWay:
            # No failure: how long it would have taken is not known.
            door.breaker.abandoned()
            if not door.gave_way:
                door.gave_way = True
                _logger.warning(
                    "the authorizer of tenant %s is slow while many are (%s): it loses connections to other tenants",
                    question.tenant,
                    door.url,
                )
            return None
        except (OutboundError, Unreadable) as error:
            before = door.breaker.failures
            door.breaker.failed(self._clock(), random.random())  # noqa: S311 jitter is no secret
            # Once, however many failed together.
            if door.breaker.failures != before and door.breaker.failures in (1, _THRESHOLD):
                _logger.warning(
                    "the authorizer of tenant %s does not answer (%s): %s", question.tenant, door.url, error
                )
            return None
        except BaseException:
            door.breaker.abandoned()
            raise
        if door.breaker.failures >= _THRESHOLD:
            _logger.warning("the authorizer of tenant %s answers again (%s)", question.tenant, door.url)
        door.breaker.succeeded()
        if authorizer.cache:
            self._answers.keep(question.tenant, key, allowed, self._clock(), ends)
        return allowed


def _away(seconds: float) -> SlipstreamError:
    return SlipstreamError(
        Code.UPSTREAM_UNAVAILABLE,
        "nobody can say now whether this is allowed: the tenant's authorizer does not answer",
        fix="Wait for Retry-After and try again; operators: check the service at the tenant's spec.authorizer.url.",
        retry_after=seconds,
    )
