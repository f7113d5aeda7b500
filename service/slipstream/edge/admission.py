"""Who comes in: connections of an address, a subject and a tenant, and rates; the tenants' hold over all processes."""

from __future__ import annotations

import random
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Final, NamedTuple

from slipstream.edge.address import counted_as
from slipstream.protocol.errors import Code, SlipstreamError
from slipstream.quotas.crowd import Crowd
from slipstream.quotas.grants import Grants, subject_key, tenant_key
from slipstream.quotas.rate import Rate
from slipstream.tenants.model import Tenant

_LEAST_WAIT: Final = 0.05
_CROWD_WAIT: Final = 1.0
_CROWD_JITTER: Final = 4.0
"""Seconds: who was one too many of a crowd must not come back with the whole crowd."""


class Limits(NamedTuple):
    """What this process allows by itself, over all tenants.

    connect_rate: streams and polls a second. connections_per_address: at once from one client; 0 is no limit.
    """

    connect_rate: int
    connections_per_address: int


class Addresses:
    """How many connections each client has here. limit: for one client; 0 counts nobody."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._counts: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._counts)

    def enter(self, address: str) -> None:
        """One more from `address`, where there is a limit and the address is known. Raises QUOTA_EXCEEDED."""
        if not (self._limit and address):
            return
        client = counted_as(address)
        count = self._counts.get(client, 0)
        if count >= self._limit:
            raise SlipstreamError(
                Code.QUOTA_EXCEEDED,
                f"{client} has {self._limit} connections to this process already: close one of them",
                retry_after=_CROWD_WAIT,
            )
        self._counts[client] = count + 1

    def leave(self, address: str) -> None:
        """One that entered is gone."""
        if not (self._limit and address):
            return
        client = counted_as(address)
        count = self._counts.pop(client)
        if count > 1:
            self._counts[client] = count - 1


class Place:
    """A place that was given; `close` gives it back, once.

    address: the client's. kept: it belongs to a stream (`Sessions.open`).
    """

    __slots__ = ("_addresses", "_counted", "_grants", "_keys", "address", "kept")

    def __init__(self, grants: Grants, addresses: Addresses, address: str) -> None:
        self._grants = grants
        self._addresses = addresses
        self._counted = False
        self._keys: tuple[str, ...] = ()
        self.address = address
        self.kept = False

    def count_address(self) -> None:
        """One more of its address. Raises QUOTA_EXCEEDED."""
        self._addresses.enter(self.address)
        self._counted = True

    async def take(self, key: str, limit: int | None) -> None:
        """One more place. Raises what `Grants.enter` does."""
        await self._grants.enter(key, limit)
        self._keys += (key,)

    def close(self) -> None:
        """Give back all."""
        if self._counted:
            self._counted = False
            self._addresses.leave(self.address)
        while self._keys:
            *rest, key = self._keys
            self._keys = tuple(rest)
            self._grants.leave(key)


class Admission:
    """Keeps the quotas. What a process counts by itself of a tenant's (rates) is its part: one of the living.

    Nothing is asked of the others for a tenant without a limit. clock: monotonic, in seconds.
    """

    def __init__(self, grants: Grants, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._grants = grants
        self._connect_rate = limits.connect_rate
        self._addresses = Addresses(limits.connections_per_address)
        self._crowd = Crowd(limits.connect_rate)
        self._connects: dict[str, Rate] = {}
        self._redeemed: dict[str, Rate] = {}
        self._publishes: dict[str, Rate] = {}

    @asynccontextmanager
    async def enter(self, tenant: Tenant, subject: str | None, address: str) -> AsyncIterator[Place]:
        """A place for one stream or poll of `tenant`, and of `subject` in it, from `address`.

        It is for the block, or once kept for the stream.

        Raises QUOTA_EXCEEDED; OVERLOADED when too many come to this process at once; UPSTREAM_UNAVAILABLE when the
        other processes cannot be asked.
        """
        quotas = tenant.spec.quotas
        place = Place(self._grants, self._addresses, address)
        try:
            # The narrower first: who has too many must not take what others could have.
            place.count_address()
            self._pass(self._connects, tenant.name, 1, quotas.connect_rate, "connects")
            if subject is not None and quotas.connections_per_subject is not None:
                await place.take(subject_key(tenant.name, subject), quotas.connections_per_subject)
            await place.take(tenant_key(tenant.name), quotas.connections)
            # Last: whom its own tenant's limits refuse must not take what others could have.
            self._pass_crowd(tenant.name)
            yield place
        except BaseException:
            place.close()
            raise
        if not place.kept:
            place.close()

    def redeem(self, tenant: Tenant) -> None:
        """A ticket for `tenant` is about to be spent, which is a write to NATS. Raises QUOTA_EXCEEDED.

        Counted beside the connects, and by their limit: `enter`, which counts those, comes too late for the write.
        """
        self._pass(self._redeemed, tenant.name, 1, tenant.spec.quotas.connect_rate, "connects")

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
        self._redeemed.pop(tenant, None)
        self._publishes.pop(tenant, None)

    def document(self) -> Mapping[str, object]:
        """For the admin: how many processes share the limits, and what is in use, granted and over here.

        addresses: how many clients are counted; none where there is no limit for one.
        """
        return {
            "processes": self._grants.living,
            "shares": self._grants.document(),
            "addresses": len(self._addresses),
        }

    def _pass(self, rates: dict[str, Rate], tenant: str, amount: int, limit: int | None, what: str) -> None:
        if limit is None:
            return
        rate = rates.setdefault(tenant, Rate())
        wait = rate.take(self._clock(), amount, limit / self._grants.living)
        if wait:
            raise SlipstreamError(
                Code.QUOTA_EXCEEDED,
                f"the tenant may have {limit} {what} a second",
                retry_after=max(wait, _LEAST_WAIT),
            )

    def _pass_crowd(self, tenant: str) -> None:
        if self._crowd.take(self._clock(), tenant):
            raise SlipstreamError(
                Code.OVERLOADED,
                f"more than {self._connect_rate} connect to this process in a second",
                retry_after=_CROWD_WAIT + random.random() * _CROWD_JITTER,  # noqa: S311 jitter is no secret
            )
