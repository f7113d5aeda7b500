"""The bucket `slipstream_revocations`: `<tenant>.<kind>.<hash of the name>`, each until no token concerned is good.

Written by whichever edge is asked, or by the command line; followed by all edges.
"""

from __future__ import annotations

import re
from contextlib import aclosing
from typing import Final

from slipstream.auth.revocations import Kind, Revocation, hash_of, key_of, read_revocation
from slipstream.jetstream.api import Api, ApiError
from slipstream.jetstream.kv import REMOVAL, Entry, Kv
from slipstream.jetstream.kv_follower import KvFollower, Replica, Table
from slipstream.jetstream.subjects import REVOCATIONS_BUCKET
from slipstream.protocol.errors import Code, SlipstreamError

_HASH: Final = re.compile("[0-9a-f]{32}")
_ATTEMPTS: Final = 5
_GONE_SECONDS: Final = 60
"""How long it is told that one was taken back; who comes later finds nothing there."""


def _kv(api: Api) -> Kv:
    return Kv(api, REVOCATIONS_BUCKET, "Slipstream: tokens, subjects and tenants that are revoked")


class RevocationLedger:
    """An `auth.revocations.Ledger`."""

    def __init__(self, api: Api) -> None:
        self._kv = _kv(api)

    async def ensure(self) -> None:
        """Make the bucket where there is none; what follows it does so, too."""
        await self._kv.created()

    async def put(self, revocation: Revocation) -> Revocation:
        """See `Ledger.put`. By compare-and-set: a clock that is behind must not let in what was revoked before."""
        for _ in range(_ATTEMPTS):
            entry = await self._get(revocation.key)
            before = None if entry is None else _known(revocation.key, entry)
            if before is not None and before.at > revocation.at:
                revocation = revocation._replace(at=before.at, until=before.until)
            headers = {"Nats-TTL": f"{revocation.until - revocation.at}s"}
            if await self._write(revocation.key, revocation.to_json(), headers, entry):
                return revocation
        raise _raced()

    async def remove(self, tenant: str, kind: Kind, name: str) -> Revocation | None:
        """See `Ledger.remove`."""
        for hashed in (name, hash_of(name)) if _HASH.fullmatch(name) else (hash_of(name),):
            key = key_of(tenant, kind, hashed)
            entry = await self._get(key)
            known = None if entry is None else _known(key, entry)
            if known is None:
                continue
            headers = {**REMOVAL, "Nats-TTL": f"{_GONE_SECONDS}s"}
            if not await self._write(key, b"", headers, entry):
                raise _raced()
            return known
        return None

    async def list(self, tenant: str) -> list[Revocation]:
        """All of a tenant, the newest first. Raises NOT_FOUND where nothing was ever revoked."""
        found = []
        async with aclosing(self._kv.all(f"{tenant}.>")) as entries:
            async for key, value in entries:
                found.append(read_revocation(key, value))
        return sorted(found, key=lambda one: -one.at)

    async def _get(self, key: str) -> Entry | None:
        try:
            return await self._kv.get(key)
        except ApiError as error:
            raise _refused(error) from error

    async def _write(self, key: str, value: bytes, headers: dict[str, str], before: Entry | None) -> bool:
        try:
            return await self._kv.replace(key, value, before, headers)
        except ApiError as error:
            raise _refused(error) from error


def revocation_follower(api: Api, feed_api: Api, process: str, table: Table[Revocation]) -> KvFollower:
    """What keeps `table` equal to the bucket."""
    replica = Replica(table, read_revocation, "the revocation")
    return KvFollower(_kv(api), api, feed_api, f"{process}-revocations", replica, make=True)


def _known(key: str, entry: Entry) -> Revocation | None:
    """What stands there; None for a removal, and for what is broken, which is written over."""
    try:
        return read_revocation(key, entry.value)
    except ValueError:
        return None


def _refused(error: ApiError) -> SlipstreamError:
    return SlipstreamError(
        Code.UPSTREAM_UNAVAILABLE, f"the bucket {REVOCATIONS_BUCKET} cannot be written: {error}", retry_after=2.0
    )


def _raced() -> SlipstreamError:
    return SlipstreamError(
        Code.UPSTREAM_UNAVAILABLE, "somebody else changes this revocation at the moment: try again", retry_after=1.0
    )
