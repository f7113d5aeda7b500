"""The tenants' documents in a NATS KV bucket (ADR-8): written by the command line or the controller, followed by edges.

Watched with our own feed, because the library's watcher is built on its ordered consumer.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterator
from contextlib import aclosing, contextmanager

from nats import errors as nats_errors
from nats.js import errors as js_errors
from nats.js.api import KeyValueConfig, StorageType
from nats.js.kv import KeyValue

from slipstream.jetstream import stream as streams
from slipstream.jetstream.api import NO_MESSAGE, Api, ApiError, away
from slipstream.jetstream.client import parse_headers
from slipstream.jetstream.feed import Feed
from slipstream.jetstream.kv import NO_CLUSTER, REPLICAS
from slipstream.jetstream.pull import pull
from slipstream.jetstream.subjects import TENANTS_BUCKET, Delivered
from slipstream.protocol.errors import Code, SlipstreamError
from slipstream.tenants.document import TenantError, from_json, to_json
from slipstream.tenants.model import Tenant
from slipstream.tenants.registry import Registry

_logger = logging.getLogger(__name__)

_STREAM = f"KV_{TENANTS_BUCKET}"
_PREFIX = f"$KV.{TENANTS_BUCKET}."
_ATTEMPTS = 5
_REMOVALS = ("DEL", "PURGE")
_INACTIVE_NS = 30_000_000_000


class Bucket:
    """Reads and writes tenant documents; every put is a compare-and-set."""

    def __init__(self, api: Api) -> None:
        self._api = api

    async def ensure(self) -> None:
        """Make the bucket where it does not exist; an existing one is left as it is."""
        context = self._api.link.client.jetstream(timeout=self._api.timeout)
        config = KeyValueConfig(bucket=TENANTS_BUCKET, history=1, storage=StorageType.FILE, replicas=REPLICAS)
        with _translated():
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

    async def get(self, name: str) -> Tenant | None:
        """The document of `name`, or None."""
        try:
            with _translated():
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
                with _translated():
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
            with _translated():
                # Not `self.get`: a broken document can be removed, too.
                await bucket.get(name)
                await bucket.delete(name)
        except js_errors.KeyNotFoundError:
            return False
        return True

    async def list(self) -> list[Tenant]:
        """All documents, by name; a broken one is logged and left out.

        Read through a consumer of our own: the library's `keys` waits for its watcher for a fixed time and answers
        what has come by then, on a busy machine nothing (measured).
        """
        await self._open()
        config = {
            "name": f"list-{uuid.uuid4().hex}",
            "filter_subject": f"{_PREFIX}>",
            "deliver_policy": "last_per_subject",
            "ack_policy": "none",
            "mem_storage": True,
            "num_replicas": 1,
            "inactive_threshold": _INACTIVE_NS,
        }
        found: dict[str, Tenant] = {}
        async with aclosing(pull(self._api, _STREAM, config)) as batches:
            async for batch in batches:
                for entry in batch:
                    if entry.headers.get("KV-Operation") in _REMOVALS:
                        continue
                    name = entry.subject.removeprefix(_PREFIX)
                    try:
                        found[name] = from_json(entry.payload)
                    except TenantError as error:
                        _logger.warning("the document of tenant %r is broken: %s", name, error)
        return [found[name] for name in sorted(found)]

    async def _open(self) -> KeyValue:
        with _translated():
            return await self._api.link.client.jetstream(timeout=self._api.timeout).key_value(TENANTS_BUCKET)


class TenantFollower:
    """Keeps a `Registry` equal to the bucket."""

    def __init__(self, api: Api, feed_api: Api, process: str, registry: Registry) -> None:
        self._api = api
        self._registry = registry
        self._created = ""
        self._until: int | None = None
        self._tenants: dict[str, Tenant] = {}
        self._feed = Feed(
            api,
            feed_api,
            _STREAM,
            f"{process}-tenants",
            take=self._take,
            locate=self._locate,
            confirm=self._confirm,
        )

    async def run(self) -> None:
        """Follow until cancelled."""
        await self._feed.run()

    async def _locate(self, _last: int | None) -> int:
        """From the beginning, always: a bucket is small, and what was read before may have been rewritten since."""
        self._created = (await streams.info(self._api, _STREAM))["created"]
        # The newest message that is there: the stream's last sequence may be a marker that was purged since.
        self._until = await self._newest()
        self._tenants = {}
        self._settle(0)
        return 0

    async def _confirm(self) -> bool:
        return bool((await streams.info(self._api, _STREAM))["created"] == self._created)

    async def _newest(self) -> int:
        try:
            answer = await self._api.call(f"STREAM.MSG.GET.{_STREAM}", {"last_by_subj": f"{_PREFIX}>"})
        except ApiError as error:
            if error.err_code == NO_MESSAGE:
                return 0
            raise
        return int(answer["message"]["seq"])

    def _take(self, delivered: Delivered, subject: str, data: bytes, raw: bytes) -> bool:
        name = subject.removeprefix(_PREFIX)
        if raw and parse_headers(raw).get("KV-Operation") in _REMOVALS:
            self._remove(name)
        else:
            try:
                self._put(name, from_json(data))
            except TenantError as error:
                # What stood there before stays in force: a broken document must not take a tenant away.
                _logger.error("the document of tenant %r is broken and ignored: %s", name, error)
                if self._until is not None and (known := self._registry.get(name)) is not None:
                    self._tenants[name] = known
        self._settle(delivered.stream_seq)
        return True

    def _put(self, name: str, tenant: Tenant) -> None:
        if tenant.name != name:
            raise TenantError([f"metadata.name: it is {tenant.name}, the key is {name}"])
        if self._until is None:
            self._registry.put(tenant)
        else:
            self._tenants[name] = tenant

    def _remove(self, name: str) -> None:
        if self._until is None:
            self._registry.remove(name)
        else:
            self._tenants.pop(name, None)

    def _settle(self, seq: int) -> None:
        """The registry sees a (re)load only when it is whole."""
        if self._until is not None and seq >= self._until:
            tenants, self._tenants, self._until = self._tenants, {}, None
            self._registry.replace(tenants)


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except js_errors.BucketNotFoundError as error:
        raise SlipstreamError(
            Code.NOT_FOUND, "there are no tenants yet: make one with `slipstream tenant apply -f FILE`"
        ) from error
    except (js_errors.KeyNotFoundError, js_errors.KeyWrongLastSequenceError):
        raise
    except (TimeoutError, OSError, nats_errors.Error) as error:
        raise away(error) from error
