"""The tenants' documents in a NATS KV bucket (ADR-8): written by command line or controller, followed by edges."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import aclosing, contextmanager
from typing import Final, TypeGuard

from slipstream.jetstream.api import STREAM_NOT_FOUND, Api, ApiError, NoJetStream
from slipstream.jetstream.kv import REMOVAL, Entry, Kv
from slipstream.jetstream.kv_follower import KvFollower, Replica
from slipstream.jetstream.subjects import TENANTS_BUCKET
from slipstream.protocol.errors import Code, SlipstreamError
from slipstream.tenants.document import TenantError, from_json, to_json
from slipstream.tenants.model import Tenant
from slipstream.tenants.registry import Registry

_logger = logging.getLogger(__name__)

_ATTEMPTS: Final = 5


class Bucket:
    """Reads tenant documents from the leader, and writes them by compare-and-set."""

    def __init__(self, api: Api) -> None:
        self._kv = _kv(api)

    async def ensure(self) -> None:
        """Make the bucket where it does not exist; an existing one is left as it is."""
        with _translated():
            await self._kv.created()

    async def exists(self) -> bool:
        """Whether there is one."""
        try:
            await self._kv.found()
        except SlipstreamError as error:
            if error.code is not Code.NOT_FOUND:
                raise
            return False
        return True

    async def get(self, name: str) -> Tenant | None:
        """The document of `name`, or None."""
        with _translated():
            entry = await self._kv.get(name)
        return from_json(entry.value) if _stands(entry) else None

    async def put(self, tenant: Tenant) -> bool:
        """Write the document; False when it already stood there unchanged. Another writer's race is tried again."""
        value = to_json(tenant)
        for _ in range(_ATTEMPTS):
            with _translated():
                before = await self._kv.get(tenant.name)
                if before is not None and before.value == value:
                    return False
                if await self._kv.replace(tenant.name, value, before, {}):
                    return True
        raise SlipstreamError(
            Code.UPSTREAM_UNAVAILABLE, f"tenant {tenant.name} is being changed by somebody else: apply it again"
        )

    async def delete(self, name: str) -> bool:
        """Remove the document, a broken one as well; False when there was none."""
        with _translated():
            if not _stands(await self._kv.get(name)):
                return False
            await self._kv.put(name, b"", REMOVAL)
        return True

    async def list(self) -> list[Tenant]:
        """All documents, by name; a broken one is logged and left out."""
        if not await self.exists():
            raise _no_tenants()
        found: dict[str, Tenant] = {}
        async with aclosing(self._kv.all()) as entries:
            async for name, value in entries:
                try:
                    found[name] = from_json(value)
                except TenantError as error:
                    _logger.warning("the document of tenant %r is broken: %s", name, error)
        return [found[name] for name in sorted(found)]


class TenantFollower:
    """Keeps a `Registry` equal to the bucket. It makes none: the first `slipstream tenant apply` does."""

    def __init__(self, api: Api, feed_api: Api, process: str, registry: Registry) -> None:
        replica = Replica(registry, _read, "the document of tenant")
        self._follower = KvFollower(_kv(api), api, feed_api, f"{process}-tenants", replica, make=False)

    async def run(self) -> None:
        """Follow until cancelled."""
        await self._follower.run()


def _kv(api: Api) -> Kv:
    return Kv(api, TENANTS_BUCKET, "Slipstream: the tenants' documents")


def _read(name: str, data: bytes) -> Tenant:
    tenant = from_json(data)
    if tenant.name != name:
        raise TenantError([f"metadata.name: it is {tenant.name}, the key is {name}"])
    return tenant


def _stands(entry: Entry | None) -> TypeGuard[Entry]:
    return entry is not None and not entry.removed


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except NoJetStream as error:
        raise error.told() from error
    except ApiError as error:
        if error.err_code == STREAM_NOT_FOUND:
            raise _no_tenants() from error
        raise SlipstreamError(
            Code.UPSTREAM_UNAVAILABLE, f"JetStream refused {TENANTS_BUCKET}: {error}", retry_after=2.0
        ) from error


def _no_tenants() -> SlipstreamError:
    return SlipstreamError(Code.NOT_FOUND, "there are no tenants yet: make one with `slipstream tenant apply -f FILE`")
