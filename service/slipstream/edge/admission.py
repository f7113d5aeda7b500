"""Who comes in: a tenant's and a subject's connections, and rates, over all processes together."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Final

from slipstream.protocol.errors import Code, SlipstreamError
from slipstream.quotas.grants import Grants, subject_key, tenant_key
from slipstream.quotas.rate import Rate
from slipstream.tenants.model import Tenant

_LEAST_WAIT: Final = 0.05


class Place:
    """A place that was given; `close` gives it back, once. kept: it belongs to a stream (`Sessions.open`)."""

    __slots__ = ("_grants", "_keys", "kept")

    def __init__(self, grants: Grants) -> None:
        self._grants = grants
        self._keys: tuple[str, ...] = ()
        self.kept = False

    async def take(self, key: str, limit: int | None) -> None:
        """One more place. Raises what `Grants.enter` does."""
        await self._grants.enter(key, limit)
        self._keys += (key,)

    def close(self) -> None:
        """Give back all."""
        while self._keys:
            *rest, key = self._keys
            self._keys = tuple(rest)
            self._grants.leave(key)


class Admission:
    """Keeps the tenants' quotas. What a process counts by itself (rates) is its part of the limit: one of the living.

    Nothing is asked of the others for a tenant without a limit.
    """

    def __init__(self, grants: Grants) -> None:
        self._grants = grants
        self._connects: dict[str, Rate] = {}
        self._publishes: dict[str, Rate] = {}

    @asynccontextmanager
    async def enter(self, tenant: Tenant, subject: str | None) -> AsyncIterator[Place]:
        """A place for one stream of `tenant`, and of `subject` in it: for the block, or once kept for the stream.

        Raises QUOTA_EXCEEDED, or UPSTREAM_UNAVAILABLE when the other processes cannot be asked.
        """
        quotas = tenant.spec.quotas
        self._pass(self._connects, tenant.name, 1, quotas.connect_rate, "connects")
        place = Place(self._grants)
        try:
            if subject is not None and quotas.connections_per_subject is not None:
                # The narrower first: who has too many must not take what others of the tenant could have.
                await place.take(subject_key(tenant.name, subject), quotas.connections_per_subject)
            await place.take(tenant_key(tenant.name), quotas.connections)
            yield place
        except BaseException:
            place.close()
            raise
        if not place.kept:
            place.close()

    def publish(self, tenant: Tenant, events: int) -> None:
        """So many events are about to be stored. Raises QUOTA_EXCEEDED."""
        if events:
            self._pass(self._publishes, tenant.name, events, tenant.spec.quotas.publish_rate, "published events")

    def changed(self, tenant: Tenant) -> None:
        """The tenant's document may have other limits; those who are in stay."""
        self._grants.resize(tenant_key(tenant.name), tenant.spec.quotas.connections)

    def forget(self, tenant: str) -> None:
        """The tenant is gone, and its rates with it."""
        self._connects.pop(tenant, None)
        self._publishes.pop(tenant, None)

    def document(self) -> Mapping[str, object]:
        """For the admin: how many processes share the limits, and what is in use, granted and over here."""
        return {"processes": self._grants.living, "shares": self._grants.document()}

    def _pass(self, rates: dict[str, Rate], tenant: str, amount: int, limit: int | None, what: str) -> None:
        if limit is None:
            return
        rate = rates.setdefault(tenant, Rate())
        wait = rate.take(time.monotonic(), amount, limit / self._grants.living)
        if wait:
            raise SlipstreamError(
                Code.QUOTA_EXCEEDED,
                f"the tenant may have {limit} {what} a second",
                retry_after=max(wait, _LEAST_WAIT),
            )
