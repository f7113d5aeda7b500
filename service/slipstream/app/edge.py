"""An edge: all its parts, made and put together in order."""

from __future__ import annotations

import asyncio
import logging
import random
import secrets
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from slipstream.app.connect import access
from slipstream.app.options import edge_options, hub_options
from slipstream.auth.issuers import IssuersOf, read_issuers
from slipstream.auth.keyring import Keyring, SecretAbsent
from slipstream.auth.verify import Verifier
from slipstream.edge.admission import Admission
from slipstream.edge.jwks_client import JwksClient
from slipstream.edge.server import Server
from slipstream.edge.services import Services
from slipstream.edge.sessions import Sessions
from slipstream.fanout.connection import Connection, Ending
from slipstream.fanout.hub import Hub
from slipstream.hooks.shapers import Limits as HookLimits
from slipstream.hooks.shapers import Shapers
from slipstream.hooks.sink import Buffer, StagedSink
from slipstream.hooks.stages import Stages
from slipstream.jetstream.api import Api
from slipstream.jetstream.bucket import Bucket, TenantFollower
from slipstream.jetstream.direct import Direct
from slipstream.jetstream.follow import Follower
from slipstream.jetstream.leases import Leases
from slipstream.jetstream.link import Link
from slipstream.jetstream.publish import Publisher
from slipstream.jetstream.source import JetStreamSource
from slipstream.log.source import Sink
from slipstream.protocol import control
from slipstream.protocol.errors import Code, SlipstreamError
from slipstream.resilience.backoff import Backoff
from slipstream.resilience.lag import LoopLag
from slipstream.resilience.supervise import Supervisor
from slipstream.settings import Settings
from slipstream.settings.secrets import SecretFiles
from slipstream.shape.event import SecretMissing
from slipstream.tenants.registry import Registry

_logger = logging.getLogger(__name__)


class Running(NamedTuple):
    """A started edge. `opening` ends when NATS has answered, or with the error that it never will."""

    services: Services
    server: Server
    opening: asyncio.Task[None]


@asynccontextmanager
async def edge(settings: Settings) -> AsyncIterator[Running]:
    """Everything an edge is, started in order and stopped in the opposite one."""
    process = secrets.token_hex(4)
    supervisor = Supervisor()
    registry = Registry()
    loop_lag = LoopLag()
    feed_link = Link(access(settings), f"slipstream-feed-{process}")
    link = Link(access(settings), f"slipstream-api-{process}")
    api, feed_api = Api(link), Api(feed_link)
    direct = Direct(link)
    leases = Leases(api, feed_api, process, settings.lease)
    admission = Admission(leases)
    sessions = Sessions()

    def event_bytes(tenant: str) -> int:
        known = registry.get(tenant)
        return (known.spec.event_bytes if known else None) or settings.event_bytes

    limits = HookLimits(settings.hook_budget, settings.hook_memory)
    secret_files = SecretFiles(settings.secrets)
    shapers = Shapers(registry, secret_files, event_bytes, limits)
    stages = Stages(supervisor, shapers.setup, Buffer(settings.ring_events, settings.ring_bytes))

    def jetstream(tenant: str) -> JetStreamSource:
        return JetStreamSource(api, direct, tenant, event_bytes(tenant))

    def follow(tenant: str, sink: Sink) -> Callable[[], Coroutine[Any, Any, None]]:
        def begin(staged: StagedSink) -> Callable[[], Coroutine[Any, Any, None]]:
            return Follower(api, feed_api, jetstream(tenant), process, staged, staged.room).run

        return stages.follow(tenant, sink, begin)

    def closed(tenant: str, connection: Connection, ending: Ending) -> None:
        sessions.closed(connection.number)
        log_closed(tenant, connection, ending)

    hub = Hub(
        asyncio.get_running_loop(),
        supervisor,
        hub_options(settings),
        lambda tenant: stages.source(tenant, jetstream(tenant)),
        follow,
        shaper_of=shapers.of,
        on_closed=closed,
    )

    verifier, close_keys = tokens(settings, secret_files, registry)
    services = Services(
        options=edge_options(settings),
        process=process,
        hub=hub,
        registry=registry,
        store=Publisher(api),
        admission=admission,
        sessions=sessions,
        verifier=verifier,
        faults=supervisor.failing,
        links=lambda: {"feed": feed_link.up, "api": link.up},
        loop_lag=loop_lag,
        shaping=lambda: shapers.document(stages.document()),
    )

    registry.subscribe(lambda names: apply_changes(names, registry, shapers, stages, hub, admission))
    server = Server(services)
    # Listening comes first: until NATS has answered, /readyz says no and readers are told to come back.
    await server.start()
    opening = asyncio.create_task(
        _open(link, feed_link, api, supervisor, registry, process=process, leases=leases), name="open-nats"
    )
    supervisor.start("loop-lag", loop_lag.run)
    supervisor.start("reactor", hub.reactor.run)
    supervisor.start("hub", hub.run)
    supervisor.start("shapers", lambda: shapers.run(hub.reshape))
    try:
        yield Running(services, server, opening)
    finally:
        opening.cancel()
        await server.stop()
        hub.reactor.shut()
        await supervisor.stop(3.0)
        await leases.close()
        await close_keys()
        await link.close()
        await feed_link.close()


def apply_changes(
    names: frozenset[str], registry: Registry, shapers: Shapers, stages: Stages, hub: Hub, admission: Admission
) -> None:
    """These tenants are new, different or gone: open streams follow."""
    for name in names:
        shapers.refresh(name)
        tenant = registry.get(name)
        if tenant is not None:
            admission.changed(tenant)
            hub.reshape(name)
        else:
            stages.forget(name)
            admission.forget(name)
            final = control.error(Code.NOT_FOUND, f"the tenant {name} was removed", False, None)
            hub.close(name, Ending.GONE, final)


def tokens(
    settings: Settings, secret_files: SecretFiles, registry: Registry
) -> tuple[Verifier, Callable[[], Coroutine[Any, Any, None]]]:
    """What checks tokens, and how to close what it has open."""

    def secret_of(tenant: str, name: str) -> bytes:
        try:
            return secret_files.get(tenant, name)
        except SecretMissing as error:
            raise SecretAbsent(str(error)) from error

    client = JwksClient()
    keyring = Keyring(client.fetch, secret_of, time.monotonic)
    defaults = () if settings.issuers is None else read_issuers(settings.issuers)

    async def close() -> None:
        await keyring.close()
        await client.close()

    return Verifier(keyring, IssuersOf(defaults, registry)), close


def log_closed(tenant: str, connection: Connection, ending: Ending) -> None:
    """One line for each stream that ended."""
    _logger.debug("stream %d of tenant %s ended: %s", connection.number, tenant, ending.value)


async def _ensure_bucket(bucket: Bucket) -> None:
    """Make the tenants' bucket, waiting for JetStream: a cluster that elects answers nobody for some seconds."""
    backoff = Backoff(0.2, 2.0)
    while True:
        try:
            await bucket.ensure()
        except SlipstreamError as error:
            _logger.warning("the tenants' bucket cannot be opened yet, trying again: %s", error)
            await asyncio.sleep(backoff.next(random.random()))  # noqa: S311 jitter is no secret
        else:
            return


async def _open(
    link: Link,
    feed_link: Link,
    api: Api,
    supervisor: Supervisor,
    registry: Registry,
    *,
    process: str,
    leases: Leases,
) -> None:
    await link.open()
    await feed_link.open()
    await _ensure_bucket(Bucket(api))
    supervisor.start("nats-api", link.run)
    supervisor.start("nats-feed", feed_link.run)
    supervisor.start("leases", leases.run)
    supervisor.start("lease", leases.renew)
    supervisor.start("tenants", TenantFollower(api, Api(feed_link), process, registry).run)
