"""The composition root: the only module that names every concrete part and puts them together."""

from __future__ import annotations

import asyncio
import gc
import logging
import random
import resource
import secrets
import signal
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import uvloop

from slipstream.auth.issuers import IssuersOf, read_issuers
from slipstream.auth.keyring import Keyring, SecretAbsent
from slipstream.auth.verify import Verifier
from slipstream.edge.admission import Admission
from slipstream.edge.jwks_client import JwksClient
from slipstream.edge.server import Server
from slipstream.edge.services import Options as EdgeOptions
from slipstream.edge.services import Services
from slipstream.fanout.connection import Connection, Ending
from slipstream.fanout.hub import Hub
from slipstream.fanout.hub import Options as HubOptions
from slipstream.hooks.shapers import Limits as HookLimits
from slipstream.hooks.shapers import Shapers
from slipstream.hooks.sink import Buffer, StagedSink
from slipstream.hooks.stages import Stages
from slipstream.jetstream.api import Api
from slipstream.jetstream.bucket import Bucket, TenantFollower
from slipstream.jetstream.direct import Direct
from slipstream.jetstream.follow import Follower
from slipstream.jetstream.leases import Leases
from slipstream.jetstream.link import Access, Link
from slipstream.jetstream.publish import Publisher
from slipstream.jetstream.source import JetStreamSource
from slipstream.log.ring import Limits
from slipstream.log.source import Sink
from slipstream.protocol import control
from slipstream.protocol.errors import Code, SlipstreamError
from slipstream.resilience.backoff import Backoff
from slipstream.resilience.lag import LoopLag
from slipstream.resilience.supervise import Supervisor
from slipstream.settings import Settings
from slipstream.settings.secrets import SecretFiles
from slipstream.shape.event import SecretMissing
from slipstream.telemetry.logs import configure_logging
from slipstream.tenants.registry import Registry

_logger = logging.getLogger(__name__)

_RESERVED_DESCRIPTORS = 256
_FAREWELL_SECONDS = 2.0


def run_edge(settings: Settings) -> None:
    """Run an edge until SIGTERM or SIGINT. Raises OSError for a port that is taken, SlipstreamError for an old NATS."""
    configure_logging(settings.log_level, settings.log_format)
    if settings.loop == "uvloop":
        uvloop.run(serve(settings))
    else:
        asyncio.run(serve(settings))


async def serve(settings: Settings) -> None:
    """Run an edge on the current loop until SIGTERM or SIGINT, then drain it."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with edge(settings) as running:
        server = running.server
        if settings.auth == "none":
            _logger.warning("SLIPSTREAM_AUTH=none: EVERYBODY who reaches port %d may read and publish", server.port)
        _logger.info("listening on %s:%d, admin on %d", settings.host, server.port, server.admin_port)
        # What is here now stays: to look through it at each full collection stops all streams for 30 ms (measured).
        gc.collect()
        gc.freeze()
        stopped = asyncio.create_task(stop.wait(), name="signal")
        await asyncio.wait({stopped, running.opening}, return_when=asyncio.FIRST_COMPLETED)
        if running.opening.done():
            # Nothing works without NATS; what was raised says how to mend it.
            running.opening.result()
        await stopped
        await drain(running.services, server, settings.drain)


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
        admission.closed(connection.number)
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


async def drain(services: Services, server: Server, window: float) -> None:
    """Turn readiness off and send every stream away at its own moment of `window` seconds."""
    services.draining = True
    streams = services.hub.reactor.connections()
    random.shuffle(streams)
    _logger.info("draining %d streams over %.0f s", len(streams), window)
    pause = window / max(1, len(streams))
    base_ms = services.options.retry_ms
    for connection in streams:
        retry_ms = int(base_ms * (0.5 + random.random()))  # noqa: S311 jitter is no secret
        services.hub.reactor.close(connection, Ending.DRAIN, control.drain(max(1_000, retry_ms)))
        await asyncio.sleep(min(pause, 0.05))
    await server.stop_listening()
    # Each peer has a second to close its half: whoever is cut off before may lose its last frame.
    if not await services.hub.reactor.emptied(_FAREWELL_SECONDS):
        _logger.warning("%d streams did not end in time", len(services.hub.reactor))


@asynccontextmanager
async def connect(settings: Settings) -> AsyncIterator[Api]:
    """One NATS connection for a command, closed at the end. Waits for NATS and says so."""
    link = Link(access(settings), "slipstream-cli")
    await link.open()
    try:
        yield Api(link)
    finally:
        await link.close()


def access(settings: Settings) -> Access:
    """How the settings say to reach NATS."""
    return Access(
        servers=settings.nats_servers,
        creds=None if settings.nats_creds is None else str(settings.nats_creds),
        user=settings.nats_user,
        password=None if settings.nats_password is None else settings.nats_password.get_secret_value(),
        tls_ca=None if settings.nats_tls_ca is None else str(settings.nats_tls_ca),
        tls_cert=None if settings.nats_tls_cert is None else str(settings.nats_tls_cert),
        tls_key=None if settings.nats_tls_key is None else str(settings.nats_tls_key),
    )


def edge_options(settings: Settings) -> EdgeOptions:
    """The edge's part of the settings."""
    return EdgeOptions(
        open=settings.auth == "none",
        anonymous_scopes=frozenset(settings.anonymous_scopes),
        host=settings.host,
        port=settings.port,
        admin_port=settings.admin_port,
        head_deadline=settings.head_deadline,
        body_deadline=settings.body_deadline,
        heartbeat=settings.heartbeat,
        retry_ms=settings.retry_ms,
        sndbuf=settings.sndbuf,
        max_connections=settings.max_connections or descriptor_room(),
        event_bytes=settings.event_bytes,
        publish_events=settings.publish_events,
        publish_bytes=settings.publish_bytes,
        topics_per_stream=settings.topics_per_stream,
        replay_events=settings.replay_events,
    )


def hub_options(settings: Settings) -> HubOptions:
    """The hub's part of the settings."""
    return HubOptions(
        ring=Limits(settings.ring_events, settings.ring_bytes, int(settings.ring_seconds * 1000)),
        rings_bytes=settings.rings_bytes,
        heartbeat=settings.heartbeat,
        linger=settings.linger,
        write_deadline=settings.write_deadline,
        replay_inflight=settings.replay_inflight,
    )


def descriptor_room() -> int:
    """How many streams the descriptor limit allows, after raising the soft limit to the hard one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    # During a hand-over a stream has two descriptors for a moment.
    return max(16, hard - _RESERVED_DESCRIPTORS)


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
