"""Asks NATS for a proof of life again and again: a write that a quorum has to store.

Nothing less tells that a quorum is lost (measured, three nodes, one cut off with our connection to it): core NATS goes
on working; STREAM.INFO is answered by an isolated leader for ever, and after ten seconds by an isolated follower, too;
`$JS.API.INFO` is answered by an isolated meta leader for eighteen seconds. A write has no answer from the first moment.

Each connection has a probe of its own, because each may end at another server. The one for requests moves the breaker.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from contextlib import suppress
from typing import Final, NamedTuple

import orjson
from nats import errors as nats_errors

from slipstream.jetstream.api import UNAVAILABLE
from slipstream.jetstream.client import Client
from slipstream.jetstream.kv import REPLICAS
from slipstream.jetstream.link import Link
from slipstream.jetstream.stream import NO_CLUSTER
from slipstream.jetstream.subjects import PROBE, PROBE_STREAM
from slipstream.protocol.timestamp import rfc3339
from slipstream.resilience.backoff import Backoff
from slipstream.resilience.upstream import MISSES, Upstream

_logger = logging.getLogger(__name__)

_EVERY_SECONDS: Final = 1.5
_ANSWER_SECONDS: Final = 3.0
_LEAVING_SECONDS: Final = 0.5
"""A server that is about to be left is asked once more, for so long."""

_ELECTION_SECONDS: Final = 8.0
"""While the stream of the probe elects, nobody takes what is written to it, and that says nothing of other streams."""

_BREATH_SECONDS: Final = 0.1
_ELECTING_SECONDS: Final = 0.25
_MAKING_SECONDS: Final = 0.5
"""Nobody makes a stream while the cluster elects, and says nothing; the one that is there may take writes."""

_PAUSE: Final = 0.5
_LONGEST_PAUSE: Final = 5.0

_CONFIG: Final = {
    "name": PROBE_STREAM,
    "description": "Slipstream: a write here shows that NATS stores",
    "subjects": [f"{PROBE}.*"],
    "storage": "memory",
    "max_msgs_per_subject": 1,
    "max_age": 60_000_000_000,
    "max_bytes": 1024 * 1024,
    "discard": "old",
    "num_replicas": REPLICAS,
}


class Miss(NamedTuple):
    """Why a probe failed. silent: it had no answer; else it was told that nobody takes it."""

    reason: str
    silent: bool


class Prober:
    """Probes both connections for as long as `run` runs, moves them to where a probe is answered, tells `upstream`.

    Until the first answer the breaker stays closed: a NATS user without the permission looks as if NATS were away.
    """

    def __init__(self, link: Link, feed_link: Link, process: str) -> None:
        self._link = link
        self._feed_link = feed_link
        self.upstream = Upstream(time.monotonic())
        # A feed that cannot be had is no reason to refuse a publish: of this one only the connection moves.
        self._aside = Upstream(time.monotonic())
        self._subject = f"{PROBE}.{process}"
        self._woken = asyncio.Event()
        self._proven = False
        self._told = False
        link.on_suspicion = feed_link.on_suspicion = self._suspect

    async def run(self) -> None:
        """Probe until cancelled."""
        async with asyncio.TaskGroup() as group:
            for link, upstream in ((self._link, self.upstream), (self._feed_link, self._aside)):
                group.create_task(self._probe(link, upstream), name=f"probe-{link.name}")

    def document(self) -> dict[str, object]:
        """For the admin: state and since when (RFC 3339), how often it was opened, and why it is not closed.

        proven: whether a probe was ever answered.
        """
        now = time.monotonic()
        since_ms = int((time.time() - (now - self.upstream.changed_at)) * 1000)
        return {
            "state": self.upstream.state(now),
            "since": rfc3339(since_ms),
            "proven": self._proven,
            "openings": self.upstream.openings,
            "reason": self.upstream.reason,
        }

    def _suspect(self, what: str) -> None:
        for upstream in (self.upstream, self._aside):
            upstream.suspect(what)
        if self.upstream.accused:
            self._woken.set()

    async def _probe(self, link: Link, upstream: Upstream) -> None:
        backoff, move_at = Backoff(_PAUSE, _LONGEST_PAUSE), 0.0
        misses, since = 0, time.monotonic()
        while True:
            began = time.monotonic()
            miss = await self._ask(link.client, _ANSWER_SECONDS)
            now = time.monotonic()
            if miss is None:
                backoff.reset()
                misses, since = 0, now
                self._answered(upstream, now)
            else:
                misses += 1
                if not self._proven or counts(miss, now - since):
                    self._missed(upstream, miss, now)
                if (upstream.open or misses >= MISSES or not self._proven) and now >= move_at:
                    if await link.move(self._elsewhere):
                        misses, since = 0, time.monotonic()
                        self._answered(upstream, time.monotonic())
                    else:
                        # All may be without a quorum: no hopping, and no connection made at every moment.
                        move_at = time.monotonic() + backoff.next(random.random())  # noqa: S311 jitter is no secret
            every = _EVERY_SECONDS if self._proven else _LONGEST_PAUSE
            await self._pause(upstream, began + every * random.uniform(0.8, 1.2))  # noqa: S311 jitter is no secret

    async def _elsewhere(self, fresh: Client, old: Client) -> bool:
        """Whether to go over: it works there, and here still not."""
        works = await self._ask(fresh, _ANSWER_SECONDS) is None
        return works and await self._ask(old, _LEAVING_SECONDS) is not None

    def _answered(self, upstream: Upstream, now: float) -> None:
        self._proven = True
        if upstream.answered(now) and upstream is self.upstream:
            _logger.warning("NATS stores again: the breaker is closed")

    def _missed(self, upstream: Upstream, miss: Miss, now: float) -> None:
        if not self._proven:
            self._tell_unproven(miss.reason)
            return
        opened = upstream.missed(miss.reason, now, random.random(), silent=miss.silent)  # noqa: S311 jitter is no secret
        if opened and upstream is self.upstream:
            _logger.warning("NATS stores nothing (%s): the breaker is open, what is new is refused", miss.reason)

    def _tell_unproven(self, reason: str) -> None:
        if not self._told:
            self._told = True
            _logger.warning(
                "no probe of NATS was answered yet (%s), so its loss would not be noticed. If this stays: may the NATS"
                " user of edges publish to %s.* and make the stream %s (`slipstream tenant nats-permissions --edge`)?",
                reason,
                PROBE,
                PROBE_STREAM,
            )

    async def _pause(self, upstream: Upstream, until: float) -> None:
        """Until it is time, or enough else has failed."""
        now = time.monotonic()
        seconds = max(until - now, upstream.pause(now), _BREATH_SECONDS)
        if not upstream.accused:
            self._woken.clear()
            try:
                async with asyncio.timeout(seconds):
                    await self._woken.wait()
            except TimeoutError:
                return
            seconds = _BREATH_SECONDS
        await asyncio.sleep(seconds)

    async def _ask(self, client: Client, seconds: float) -> Miss | None:
        """Why no write was answered in so many seconds; None where one was."""
        made, miss = False, Miss(f"no answer within {seconds:g} s", True)
        try:
            async with asyncio.timeout(seconds):
                while True:
                    try:
                        return await self._write(client, seconds)
                    except nats_errors.NoRespondersError:
                        # There is no such stream yet, or it elects: the death of one leader is over in some seconds.
                        miss = Miss(f"nobody takes what is written to {PROBE_STREAM}", False)
                    if not made:
                        made = True
                        await self._make(client)
                    else:
                        await asyncio.sleep(_ELECTING_SECONDS)
        except TimeoutError:
            return miss
        except (OSError, ValueError, nats_errors.Error) as error:
            return Miss(str(error) or type(error).__name__, True)

    async def _write(self, client: Client, seconds: float) -> Miss | None:
        answer = orjson.loads((await client.request(self._subject, b"", timeout=seconds)).data)
        error = answer.get("error")
        # Anything else that it has to say is said by a leader who is there.
        if error and error.get("code") == UNAVAILABLE:
            return Miss(str(error.get("description", "unavailable")), False)
        return None

    async def _make(self, client: Client) -> None:
        """Make the stream where there is none. One that is there, and has no leader now, is not changed by this."""
        subject = f"$JS.API.STREAM.CREATE.{PROBE_STREAM}"
        with suppress(nats_errors.TimeoutError):
            answer = orjson.loads((await client.request(subject, orjson.dumps(_CONFIG), timeout=_MAKING_SECONDS)).data)
            if answer.get("error", {}).get("err_code") == NO_CLUSTER:
                single = orjson.dumps(_CONFIG | {"num_replicas": 1})
                await client.request(subject, single, timeout=_MAKING_SECONDS)


def counts(miss: Miss, seconds: float) -> bool:
    """Whether a failed probe, so many seconds after the last that was answered, says that NATS stores nothing."""
    return miss.silent or seconds > _ELECTION_SECONDS
