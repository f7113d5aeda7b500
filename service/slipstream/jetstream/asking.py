"""A question is put again as long as nobody answers who leads.

After the death of a leader a question to it is dropped, or answered by "temporarily unavailable", until there is
another one, 4 to 9 s later (nats-server 2.15.1, measured). One that was put a moment before that had no answer either,
and whoever asked waited for its whole deadline, although an answer was to be had: 1.5 to 2 s on average, and 5 at most.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from typing import Any, Final

import orjson
from nats import errors as nats_errors
from nats.aio.msg import Msg

from slipstream.quotas.rate import Rate

REPEATS: Final = 100.0
"""Repeats a second over one connection. With some 30 streams that elect each is asked for about every 0.3 s; with
thousands the cluster is not asked more than this."""

_GAP_SECONDS: Final = (0.2, 0.4)
_REPEATABLE: Final = ("$JS.API.STREAM.INFO.", "$JS.API.CONSUMER.INFO.")
_NO_LEADER: Final = 10008
"""The server's number for: who would know has no leader now."""


def repeatable(subject: str) -> bool:
    """Whether a request on `subject` may be put twice: it is answered in few bytes, and changes nothing."""
    return subject.startswith(_REPEATABLE)


def leaderless(data: bytes) -> bool:
    """Whether this answer of JetStream says no more than that nobody leads now."""
    try:
        answer = orjson.loads(data)
    except ValueError:
        return False
    if not isinstance(answer, dict):
        return False
    error, cluster = answer.get("error"), answer.get("cluster")
    if error:
        return bool(error.get("err_code") == _NO_LEADER)
    return bool(cluster and cluster.get("replicas") and not cluster.get("leader"))


async def until_led(ask: Callable[[float], Coroutine[Any, Any, Msg]], seconds: float, repeats: Rate, name: str) -> Msg:
    """The first answer to `ask` that is not `leaderless`; at the deadline one that is, if nothing else came.

    `ask` is given the seconds that are left, and is under way several times at once: a slow answer counts, too. Raises
    what the first of them raises that fails: at the deadline, nats-py's TimeoutError.
    """
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    question = _Question(ask, name)
    question.put(seconds)
    try:
        while (left := until - loop.time()) > 0 or (question.under_way and question.useless is None):
            gap = random.uniform(*_GAP_SECONDS)  # noqa: S311 jitter is no secret
            await asyncio.wait({question.heard}, timeout=min(gap, left) if left > 0 else gap)
            if question.heard.done():
                return question.heard.result()
            now = loop.time()
            if now < until and not repeats.take(now, 1, REPEATS):
                question.put(until - now)
    finally:
        question.drop()
    if question.useless is None:
        raise nats_errors.TimeoutError
    return question.useless


class _Question:
    """heard: what it comes to. useless: the last answer that said no more than that nobody leads."""

    def __init__(self, ask: Callable[[float], Coroutine[Any, Any, Msg]], name: str) -> None:
        self._ask = ask
        self._name = name
        self.heard: asyncio.Future[Msg] = asyncio.get_running_loop().create_future()
        self.useless: Msg | None = None
        self.under_way: set[asyncio.Task[Msg]] = set()

    def put(self, seconds: float) -> None:
        """Ask once more, for so long."""
        task = asyncio.create_task(self._ask(seconds), name=self._name)
        self.under_way.add(task)
        task.add_done_callback(self._answered)

    def drop(self) -> None:
        """Nobody waits any more."""
        if not self.heard.cancel() and not self.heard.cancelled():
            self.heard.exception()  # it may be that it came together with the end of who waited
        for task in self.under_way:
            task.cancel()

    def _answered(self, task: asyncio.Task[Msg]) -> None:
        self.under_way.discard(task)
        if task.cancelled():
            return
        error = task.exception()
        if self.heard.done() or (isinstance(error, TimeoutError) and self.useless is not None):
            return
        if error is not None:
            self.heard.set_exception(error)
        elif leaderless(task.result().data):
            self.useless = task.result()
        else:
            self.heard.set_result(task.result())
