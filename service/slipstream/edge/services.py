"""What the handlers work with: made once by the composition root, found in the application."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from aiohttp import web

from slipstream.auth.revocations import Ledger, Revocations
from slipstream.auth.ticket import TicketStore
from slipstream.auth.verify import Verifier
from slipstream.edge.address import Network
from slipstream.edge.admission import Admission
from slipstream.edge.authorizer import Authorizers
from slipstream.edge.inflight import Inflight
from slipstream.edge.sessions import Sessions
from slipstream.fanout.hub import Hub
from slipstream.fanout.page import Patience
from slipstream.log.store import Store
from slipstream.protocol.errors import Code
from slipstream.resilience.lag import LoopLag
from slipstream.resilience.memory import Pressure
from slipstream.resilience.peers import Peers
from slipstream.resilience.upstream import Upstream
from slipstream.tenants.model import Tenant
from slipstream.tenants.registry import Registry


@dataclass(frozen=True)
class Options:
    """The edge's part of the settings, under the settings' names; `open` is `auth=none`.

    Times in seconds but for `retry_ms`. `max_connections` is what the descriptors allow where nobody set it;
    `max_sockets` is what they allow of all connections of clients.
    """

    open: bool
    anonymous_scopes: frozenset[str]
    host: str
    port: int
    admin_port: int
    head_deadline: float
    body_deadline: float
    heartbeat: float
    write_deadline: float
    retry_ms: int
    sndbuf: int
    max_connections: int
    max_sockets: int
    trusted_proxies: tuple[Network, ...]
    event_bytes: int
    publish_events: int
    publish_bytes: int
    topics_per_stream: int
    replay_events: int


@dataclass
class Services:
    """The parts behind the HTTP surface.

    `process` names this process in stream ids and consumers; `sessions` are its open streams, `peers` all processes;
    `verifier` checks tokens, `revocations` says which are refused all the same, `ledger` is where those are written;
    `tickets` are what all processes know of tickets; `authorizers` asks those of the tenants, `admission` counts
    quotas, `bodies` the bytes of publishes under way, `memory` knows when there is too little of it, `upstream` whether
    NATS stores; `log_of(tenant)` measures what is stored. `faults()` lists what makes it unfit to live, `restarts()`
    counts its tasks that ended and were started again; `links()` says how its NATS connections and their breaker are;
    `loop_lag` knows how late the event loop was; `shaping()` says of which tenants not all events pass as they are, and
    why. `polls` are those under way, by what they wait with.
    """

    options: Options
    process: str
    hub: Hub
    registry: Registry
    store: Store
    admission: Admission
    bodies: Inflight
    memory: Pressure
    sessions: Sessions
    verifier: Verifier
    revocations: Revocations
    ledger: Ledger
    tickets: TicketStore
    authorizers: Authorizers
    faults: Callable[[], list[str]]
    restarts: Callable[[], int]
    peers: Peers
    log_of: Callable[[str], Awaitable[Mapping[str, object]]]
    upstream: Upstream
    links: Callable[[], dict[str, object]]
    loop_lag: LoopLag
    shaping: Callable[[], dict[str, dict[str, object]]]
    leaving: bool = False
    draining: bool = False
    refusals: dict[str, int] = field(default_factory=dict)
    polls: set[Patience] = field(default_factory=set)

    @property
    def ready(self) -> bool:
        """NATS answered once, tenants and revocations were loaded once, and this process is not on its way out.

        Losing NATS later does not change it: every pod would go at once, and an ingress's 503 ends EventSources for
        good.
        """
        return self.registry.loaded and self.revocations.loaded and not self.leaving

    def refused(self, code: Code) -> None:
        """Another refusal, counted by its code."""
        self.refusals[code.value] = self.refusals.get(code.value, 0) + 1

    def event_bytes(self, tenant: Tenant) -> int:
        """The largest event of a tenant, in bytes."""
        return tenant.spec.event_bytes or self.options.event_bytes

    def topics_per_stream(self, tenant: Tenant) -> int:
        """How many topics one stream of a tenant may name."""
        return tenant.spec.topics_per_stream or self.options.topics_per_stream

    def replay_events(self, tenant: Tenant) -> int:
        """How many events one resume of a tenant may replay."""
        return tenant.spec.replay_events or self.options.replay_events


SERVICES = web.AppKey("services", Services)
