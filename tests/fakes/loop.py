"""An event loop without a clock or sockets of its own: time passes only when nothing else can happen."""

import asyncio
import selectors
from collections.abc import Callable, Mapping
from typing import Any, Self, TypeVar

_EPOCH_SECONDS = 1_700_000_000.0

T = TypeVar("T")


class Stalled(AssertionError):
    """Every task waits for something that nobody will do."""


class Clock:
    """Stands in for the module `time`."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return _EPOCH_SECONDS + self.now


class _Selector(selectors.BaseSelector):
    """Watches nothing: a wait of the loop is a step of the clock."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._keys: dict[Any, selectors.SelectorKey] = {}

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        key = selectors.SelectorKey(fileobj, 0, events, data)
        self._keys[fileobj] = key
        return key

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._keys.pop(fileobj)

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise Stalled("all tasks wait, and nothing will ever happen")
        self._clock.now += max(timeout, 0.0)
        return []

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._keys

    def get_key(self, fileobj: Any) -> selectors.SelectorKey:
        return self._keys[fileobj]


class VirtualLoop(asyncio.SelectorEventLoop):
    """Use as a context manager; it is closed, with all its tasks, at the end."""

    def __init__(self) -> None:
        self.clock = Clock()
        super().__init__(_Selector(self.clock))

    def time(self) -> float:
        return self.clock.now

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        tasks = asyncio.all_tasks(self)
        for task in tasks:
            task.cancel()
        if tasks:
            self.run_until_complete(asyncio.wait(tasks, timeout=1.0))
        self.close()

    def call(self, function: Callable[[], T]) -> T:
        """Call a function inside the running loop and let nothing else run beside it."""

        async def inside() -> T:
            return function()

        return self.run_until_complete(inside())

    def turn(self, times: int) -> None:
        """Let whatever is ready run, so many times."""

        async def turns() -> None:
            for _ in range(times):
                await asyncio.sleep(0)

        self.run_until_complete(turns())

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.run_until_complete(asyncio.sleep(seconds))
