"""What asks the other processes: the port between who admits and what keeps the shares."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import lru_cache
from typing import Protocol


@lru_cache(maxsize=4096)  # each stream keeps its keys: one text for all streams of a tenant
def tenant_key(tenant: str) -> str:
    """The key of a tenant's connections."""
    return f"quota.{tenant}"


def subject_key(tenant: str, subject: str) -> str:
    """The key of one subject's connections. A hash: a subject is any text, and nobody else's business."""
    return f"quota.{tenant}.{hashlib.sha256(subject.encode()).hexdigest()[:32]}"


class Grants(Protocol):
    """Shares of limits that hold for all processes together."""

    @property
    def living(self) -> int:
        """How many processes are alive, this one included."""
        ...

    async def enter(self, key: str, limit: int | None) -> None:
        """Be counted under `key` until `leave`; limit None counts without asking.

        Raises QUOTA_EXCEEDED when `limit` is reached, UPSTREAM_UNAVAILABLE when the others cannot be asked.
        """
        ...

    def leave(self, key: str) -> None:
        """One that entered is gone."""
        ...

    def resize(self, key: str, limit: int | None) -> None:
        """The limit of `key` is another one now, for those who are in, too; nobody is sent away."""
        ...

    def document(self) -> Mapping[str, Mapping[str, int]]:
        """For the admin: of each key what is in use and granted here, and the overshoot."""
        ...
