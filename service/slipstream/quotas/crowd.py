"""How many may begin in a second in a process: each tenant has its part, and the rest is for all. Pure."""

from __future__ import annotations

from typing import Final

from slipstream.quotas.rate import Rate

_FORGET_SECONDS: Final = 1.0
"""After so long a tenant's part is as full as a new one's."""


class Crowd:
    """At most `per_second`. Half of it is divided by the tenants that came lately: so much each has for sure.

    What a tenant has beyond its part is refused when too many come. What it has within is owed by all, so that in the
    long run no more begin than may, and never more than two seconds' worth at once.
    """

    def __init__(self, per_second: int) -> None:
        self._per_second = per_second
        self._all = Rate()
        self._parts: dict[str, tuple[Rate, float]] = {}

    def __len__(self) -> int:
        """The tenants that came lately."""
        return len(self._parts)

    def take(self, now: float, tenant: str) -> float:
        """One more: 0 when it may pass, else after how many seconds it could."""
        part, _ = self._parts.pop(tenant, (Rate(), now))
        self._parts[tenant] = (part, now)
        while now - self._parts[oldest := next(iter(self._parts))][1] > _FORGET_SECONDS:
            del self._parts[oldest]
        mine = not part.take(now, 1, self._per_second / 2 / len(self._parts))
        if mine and self._all.owe(now, 1, self._per_second):
            return 0.0
        return self._all.take(now, 1, self._per_second)
