"""Long tasks that must not die unseen: each has a name, a log line for every end, and a restart with growing delay."""

from __future__ import annotations

import asyncio
import logging
import math
import random
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any

from slipstream.resilience.backoff import Backoff

_logger = logging.getLogger(__name__)
_STEADY = 30.0
_ASK_AGAIN = 0.25
_FAILING_COUNT = 5
_FAILING_SECONDS = 60.0


class Supervisor:
    """Starts named tasks, restarts eternal ones that fail, and ends all of them within a deadline."""

    def __init__(self) -> None:
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._failures: dict[str, deque[float]] = {}
        self.restarts = 0

    def __len__(self) -> int:
        return len(self._tasks)

    @property
    def names(self) -> list[str]:
        """The names of the tasks that run now."""
        return list(self._tasks)

    def start(self, name: str, run: Callable[[], Coroutine[Any, Any, None]]) -> asyncio.Task[None]:
        """Run `run()` for ever under `name`: an end, by error or by returning, is logged and followed by a restart."""
        if name in self._tasks:
            message = f"a task named {name} runs already"
            raise ValueError(message)
        # In no context: it outlives the request that it may have been started by (see context.py).
        task = asyncio.create_task(self._guard(name, run), name=name, context=Context())
        self._tasks[name] = task
        task.add_done_callback(lambda _: self._end(name))
        return task

    def failing(self) -> list[str]:
        """The tasks that were restarted five times within a minute: something that waiting does not mend."""
        now = asyncio.get_running_loop().time()
        return [
            f"task {name} failed {len(times)} times within {_FAILING_SECONDS:.0f} s"
            for name, times in self._failures.items()
            if len(times) == _FAILING_COUNT and now - times[0] < _FAILING_SECONDS
        ]

    def _end(self, name: str) -> None:
        self._tasks.pop(name, None)
        self._failures.pop(name, None)

    async def stop(self, deadline: float) -> None:
        """Cancel every task and wait at most `deadline` seconds; what does not end by then is named in the log."""
        late = set(self._tasks.values())
        # In parts: time in which the process stood still, and nothing could end, takes one of them and not all.
        for _ in range(math.ceil(deadline / _ASK_AGAIN)):
            if not late:
                return
            for task in late:
                task.cancel()
            # Python 3.11's `wait_for` can lose a cancellation to an answer that comes in the same moment: ask again.
            _, late = await asyncio.wait(late, timeout=_ASK_AGAIN)
        for task in late:
            _logger.error("task %s did not end within %.1f s", task.get_name(), deadline)

    async def _guard(self, name: str, run: Callable[[], Coroutine[Any, Any, None]]) -> None:
        backoff = Backoff(0.1, 5.0)
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            try:
                await run()
                _logger.warning("task %s returned, which it should not; it is started again", name)
            except Exception:
                _logger.exception("task %s failed; it is started again", name)
            self.restarts += 1
            self._failures.setdefault(name, deque(maxlen=_FAILING_COUNT)).append(loop.time())
            if loop.time() - began > _STEADY:
                backoff.reset()
            await asyncio.sleep(backoff.next(random.random()))  # noqa: S311 jitter is no secret
