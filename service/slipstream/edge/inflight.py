"""How much the bodies of all publishes under way may take together, and one tenant's of them. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from slipstream.protocol.errors import Code, SlipstreamError

_RETRY_AFTER: Final = 1.0


class Held:
    """What one body takes, in bytes; from its promise to its end."""

    __slots__ = ("_inflight", "size", "tenant")

    def __init__(self, inflight: Inflight, tenant: str, size: int) -> None:
        self._inflight = inflight
        self.tenant = tenant
        self.size = size

    def shrink(self, size: int) -> None:
        """The body is whole, and smaller than was to be feared."""
        less = max(0, self.size - size)
        self.size -= less
        self._inflight.give_back(self.tenant, less)


class Inflight:
    """The bytes of all bodies under way: at most `limit`, of which a tenant may have as much as it leaves free.

    So one tenant alone gets half, two get a third each, and there is always something for the next (the dynamic
    threshold of shared-memory switches: Choudhury and Hahne, 1998, with alpha = 1). A body that is alone may come in
    whatever its size.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.total = 0
        self._tenants: dict[str, int] = {}

    @contextmanager
    def hold(self, tenant: str, size: int) -> Iterator[Held]:
        """Room for a body of at most `size` bytes, for the time of the block. Raises OVERLOADED."""
        own = self._tenants.get(tenant, 0)
        if self.total and own + size > self.limit - self.total - size:
            raise SlipstreamError(
                Code.OVERLOADED,
                f"the bodies of other publishes hold {self.total} bytes of the {self.limit} of this process",
                retry_after=_RETRY_AFTER,
            )
        self.total += size
        self._tenants[tenant] = own + size
        held = Held(self, tenant, size)
        try:
            yield held
        finally:
            held.shrink(0)

    def give_back(self, tenant: str, size: int) -> None:
        """So many bytes of a tenant are free again."""
        self.total -= size
        left = self._tenants.get(tenant, 0) - size
        if left:
            self._tenants[tenant] = left
        else:
            self._tenants.pop(tenant, None)

    def document(self) -> dict[str, int]:
        """For the admin: bytes held, and at most."""
        return {"held": self.total, "limit": self.limit}
