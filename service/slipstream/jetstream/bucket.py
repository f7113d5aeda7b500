"""The tenants' documents in a NATS KV bucket (ADR-8): written by command line or controller, followed by edges."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import aclosing, contextmanager

from nats import errors as nats_errors
from nats.js import errors as js_errors
from nats.js.api import KeyValueConfig, StorageType
from nats.js.kv import KeyValue

from slipstream.jetstream.api import Api
from slipstream.jetstream.kv import REPLICAS, Kv
from slipstream.jetstream.kv_follower import KvFollower, Replica
from slipstream.jetstream.stream import NO_CLUSTER
from slipstream.jetstream.subjects import TENANTS_BUCKET
from slipstream.protocol.errors import Code, SlipstreamError
from slipstream.tenants.document import TenantError, from_json, to_json
from slipstream.tenants.model import Tenant
from slipstream.tenants.registry import Registry

_logger = logging.getLogger(__name__)

_ATTEMPTS = 5


class Bucket:
    """Reads and writes tenant documents; every put is a compare-and-set."""

    def __init__(self, api: Api) -> None:
        self._api = api

    async def ensure(self) -> None:
        """Make the bucket where it does not exist; an existing one is left as it is."""
        context = self._api.link.client.jetstream(timeout=self._api.timeout)
        config = KeyValueConfig(bucket=TENANTS_BUCKET, history=1, storage=StorageType.FILE, replicas=REPLICAS)
        with _translated(self._api):
            try:
                await context.key_value(TENANTS_BUCKET)
            except js_errors.BucketNotFoundError:
                try:
                    await context.create_key_value(config)
                except js_errors.APIError as error:
                    if error.err_code != NO_CLUSTER:
                        raise
                    config.replicas = 1
                    await context.create_key_value(config)

    async def exists(self) -> bool:
        """Whether there is one."""
        try:
            await _kv(self._api).found()
        except SlipstreamError as error:
            if error.code is not Code.NOT_FOUND:
                raise
            return False
        return True

    async def get(self, name: str) -> Tenant | None:
        """The document of `name`, or None."""
        try:
            with _translated(self._api):
                entry = await (await self._open()).get(name)
        except js_errors.KeyNotFoundError:
            return None
        return from_json(entry.value or b"")

    async def put(self, tenant: Tenant) -> bool:
        """Write the document; False when it already stood there unchanged. Another writer's race is tried again."""
        value = to_json(tenant)
        bucket = await self._open()
        for _ in range(_ATTEMPTS):
            try:
                with _translated(self._api):
                    try:
                        entry = await bucket.get(tenant.name)
                    except js_errors.KeyNotFoundError as error:
                        # A deleted key's marker counts as its last revision.
                        revision = error.entry.revision if error.entry is not None else 0
                    else:
                        if entry.value == value:
                            return False
                        revision = entry.revision
                    await bucket.update(tenant.name, value, last=revision)
            except js_errors.KeyWrongLastSequenceError:
                continue
            return True
        raise SlipstreamError(
            Code.UPSTREAM_UNAVAILABLE, f"tenant {tenant.name} is being changed by somebody else: apply it again"
        )

    async def delete(self, name: str) -> bool:
        """Remove the document; False when there was none."""
        bucket = await self._open()
        try:
            with _translated(self._api):
                # Not `self.get`: a broken document can be removed, too.
                await bucket.get(name)
                await bucket.delete(name)
        except js_errors.KeyNotFoundError:
            return False
        return True

    async def list(self) -> list[Tenant]:
        """All documents, by name; a broken one is logged and left out."""
        await self._open()
        found: dict[str, Tenant] = {}
        async with aclosing(_kv(self._api).all()) as entries:
            async for name, value in entries:
                try:
                    found[name] = from_json(value)
                except TenantError as error:
                    _logger.warning("the document of tenant %r is broken: %s", name, error)
        return [found[name] for name in sorted(found)]

    async def _open(self) -> KeyValue:
        with _translated(self._api):
            return await self._api.link.client.jetstream(timeout=self._api.timeout).key_value(TENANTS_BUCKET)


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


@contextmanager
def _translated(api: Api) -> Iterator[None]:
    try:
        yield
    except js_errors.BucketNotFoundError as error:
        raise SlipstreamError(
            Code.NOT_FOUND, "there are no tenants yet: make one with `slipstream tenant apply -f FILE`"
        ) from error
    except (js_errors.KeyNotFoundError, js_errors.KeyWrongLastSequenceError):
        raise
    except (TimeoutError, OSError, nats_errors.Error) as error:
        raise api.away(error) from error
