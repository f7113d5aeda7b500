"""An edge: all its parts, made and put together in order."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Final, NamedTuple

from slipstream.app.connect import access
from slipstream.app.opening import Tasks, open_nats, start
from slipstream.app.options import edge_options, hub_options
from slipstream.app.tokens import tokens
from slipstream.auth.revocations import Revocations
from slipstream.edge import renewal, streams
from slipstream.edge.admission import Admission, Limits
from slipstream.edge.enforcement import Enforcement
from slipstream.edge.inflight import Inflight
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
from slipstream.jetstream.bucket import TenantFollower
from slipstream.jetstream.direct import Direct
from slipstream.jetstream.follow import Follower
from slipstream.jetstream.leases import Leases
from slipstream.jetstream.link import Link
from slipstream.jetstream.peers import Peers
from slipstream.jetstream.prober import Prober
from slipstream.jetstream.publish import Publisher
from slipstream.jetstream.revocations import RevocationLedger, revocation_follower
from slipstream.jetstream.source import JetStreamSource
from slipstream.jetstream.stream import measure
from slipstream.jetstream.tickets import Tickets
from slipstream.log.source import Sink
from slipstream.protocol import control
from slipstream.protocol.errors import Code
from slipstream.resilience.lag import LoopLag
from slipstream.resilience.memory import Pressure, cgroup_limit
from slipstream.resilience.supervise import Supervisor
from slipstream.settings import Settings
from slipstream.settings.secrets import SecretFiles
from slipstream.tenants.registry import Registry

_logger = logging.getLogger(__name__)

_CLOSE_SECONDS: Final = 1.0
"""For each step of the end: tasks, leases, connections. With the two seconds of a drain's last step it is five."""


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
    prober = Prober(link, feed_link, process)
    leases = Leases(api, feed_api, process, settings.lease)
    admission = Admission(leases, Limits(settings.connect_rate, settings.connections_per_address))
    sessions = Sessions()
    revocations = Revocations()

    def event_bytes(tenant: str) -> int:
        known = registry.get(tenant)
        return (known.spec.event_bytes if known else None) or settings.event_bytes

    secret_files = SecretFiles(settings.secrets)
    shapers = Shapers(registry, secret_files, event_bytes, HookLimits(settings.hook_budget, settings.hook_memory))
    stages = Stages(supervisor, shapers.setup, Buffer(settings.ring_events, settings.ring_bytes))

    def jetstream(tenant: str) -> JetStreamSource:
        return JetStreamSource(api, direct, tenant, lambda: event_bytes(tenant))

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

    peers = Peers(api, process, lambda: leases.names)
    checks = tokens(settings, secret_files, registry, revocations)
    tickets = Tickets(api)
    services = Services(
        options=edge_options(settings),
        process=process,
        hub=hub,
        registry=registry,
        store=Publisher(api),
        admission=admission,
        bodies=Inflight(settings.publish_inflight),
        memory=Pressure(settings.memory_limit or cgroup_limit()),
        sessions=sessions,
        verifier=checks.verifier,
        revocations=revocations,
        ledger=RevocationLedger(api),
        tickets=tickets,
        authorizers=checks.authorizers,
        faults=supervisor.failing,
        restarts=lambda: supervisor.restarts,
        peers=peers,
        log_of=lambda tenant: measure(api, tenant),
        upstream=prober.upstream,
        links=lambda: {"feed": feed_link.up, "api": link.up, "breaker": prober.document()},
        loop_lag=loop_lag,
        shaping=lambda: shapers.document(stages.document()),
    )

    for kind, answer in {**streams.answers(services), **renewal.answers(services)}.items():
        peers.on(kind, answer)
    registry.subscribe(lambda names: apply_changes(names, services, shapers, stages))
    enforcement = Enforcement(revocations, sessions, hub.reactor.close)
    server = Server(services)
    # Listening comes first: until NATS has answered, /readyz says no and readers are told to come back.
    await server.start()
    with_nats: Tasks = {
        "leases": leases.run,
        "lease": leases.renew,
        "lease-sweep": leases.sweep,
        "peers": peers.run,
        "revocations": revocation_follower(api, feed_api, process, enforcement).run,
        "tenants": TenantFollower(api, feed_api, process, registry).run,
    }
    opening = asyncio.create_task(open_nats(link, feed_link, prober, supervisor, with_nats), name="open-nats")
    start(
        supervisor,
        {
            "loop-lag": loop_lag.run,
            "memory": services.memory.run,
            "reactor": hub.reactor.run,
            "hub": hub.run,
            "enforcement": enforcement.run,
            "shapers": lambda: shapers.run(hub.reshape),
        },
    )
    try:
        yield Running(services, server, opening)
    finally:
        opening.cancel()
        await server.stop()
        hub.reactor.shut()
        await supervisor.stop(_CLOSE_SECONDS)
        await _within(_CLOSE_SECONDS, leases.close())
        await checks.close()
        await tickets.close()
        await _within(_CLOSE_SECONDS, asyncio.gather(link.close(), feed_link.close()))


async def _within(seconds: float, closing: Awaitable[object]) -> None:
    """Wait no longer for what NATS may leave without an answer: it is over with this process in any case."""
    try:
        async with asyncio.timeout(seconds):
            await closing
    except TimeoutError:
        _logger.warning("NATS does not answer a farewell: this process ends without")


def apply_changes(names: frozenset[str], services: Services, shapers: Shapers, stages: Stages) -> None:
    """These tenants are new, different or gone: open streams follow."""
    for name in names:
        shapers.refresh(name)
        tenant = services.registry.get(name)
        if tenant is not None:
            services.admission.changed(tenant)
            services.authorizers.settle(name, tenant.spec.authorizer)
            services.hub.reshape(name)
        else:
            stages.forget(name)
            services.admission.forget(name)
            services.authorizers.settle(name, None)
            final = control.error(Code.NOT_FOUND, f"the tenant {name} was removed", False, None)
            services.hub.close(name, Ending.GONE, final)


def log_closed(tenant: str, connection: Connection, ending: Ending) -> None:
    """One line for each stream that ended."""
    _logger.debug("stream %d of tenant %s ended: %s", connection.number, tenant, ending.value)
