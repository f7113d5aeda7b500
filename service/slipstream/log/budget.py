"""One cap over the rings of all tenants: who has been quiet longest gives up its oldest events first."""

from __future__ import annotations

from slipstream.log.ring import Ring


class Budget:
    """Keeps the sum of all rings' bytes at or under `cap`.

    `settle(ring)` is called after a ring has grown. The ring that was settled longest ago is trimmed first, so that a
    busy tenant pays with the quiet tenants' history only as long as there is any, and then with its own.
    """

    __slots__ = ("_weights", "cap", "total")

    def __init__(self, cap: int) -> None:
        self.cap = cap
        self.total = 0
        self._weights: dict[Ring, int] = {}

    def settle(self, ring: Ring) -> None:
        """Account for what `ring` weighs now, and trim the quietest rings while the sum is over the cap."""
        self.total += ring.size - self._weights.pop(ring, 0)
        self._weights[ring] = ring.size
        while self.total > self.cap:
            quietest = next(iter(self._weights))
            freed = quietest.trim(self.total - self.cap)
            self.total -= freed
            self._weights[quietest] = quietest.size
            if not quietest.size:
                del self._weights[quietest]

    def forget(self, ring: Ring) -> None:
        """The ring is gone: its bytes are free."""
        self.total -= self._weights.pop(ring, 0)
