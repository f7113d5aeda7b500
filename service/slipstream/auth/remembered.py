"""What was found out for each tenant: bounded, and who asks a lot takes no other tenant's place. Pure."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Remembered(Generic[K, V]):
    """At most `most` values. When there are more, the tenant with the most loses what it used longest ago."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._values: dict[K, tuple[str, V]] = {}
        self._used: dict[str, OrderedDict[K, None]] = {}

    def __len__(self) -> int:
        return len(self._values)

    def held(self, tenant: str) -> int:
        """How many are of this tenant."""
        return len(self._used.get(tenant, ()))

    def peek(self, key: K) -> V | None:
        """The value, which is not used by this."""
        found = self._values.get(key)
        return None if found is None else found[1]

    def find(self, key: K) -> V | None:
        """The value, which is used by this."""
        found = self._values.get(key)
        if found is None:
            return None
        tenant, value = found
        self._used[tenant].move_to_end(key)
        return value

    def keep(self, tenant: str, key: K, value: V) -> None:
        """It is the newest of `tenant`, in place of what was there."""
        self.drop(key)
        self._values[key] = (tenant, value)
        self._used.setdefault(tenant, OrderedDict())[key] = None
        if len(self._values) > self._most:
            largest = max(self._used.values(), key=len)
            self.drop(next(iter(largest)))

    def drop(self, key: K) -> None:
        """It is of no use any more, if it is there."""
        found = self._values.pop(key, None)
        if found is None:
            return
        used = self._used[found[0]]
        del used[key]
        if not used:
            del self._used[found[0]]
