"""What the handlers work with: made once by the composition root, found in the application."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from aiohttp import web

from slipstream.auth.verify import Verifier
from slipstream.edge.admission import Admission
from slipstream.edge.sessions import Sessions
from slipstream.fanout.hub import Hub
from slipstream.log.store import Store
from slipstream.resilience.lag import LoopLag
from slipstream.tenants.model import Tenant
from slipstream.tenants.registry import Registry


@dataclass(frozen=True)
class Options:
    """The edge's part of the settings, under the settings' names; `open` is `auth=none`.

    Times in seconds but for `retry_ms`. `max_connections` is what the descriptors allow where nobody set it.
    """

    open: bool
    anonymous_scopes: frozenset[str]
    host: str
    port: int
    admin_port: int
    head_deadline: float
    body_deadline: float
    heartbeat: float
    retry_ms: int
    sndbuf: int
    max_connections: int
    event_bytes: int
    publish_events: int
    publish_bytes: int
    topics_per_stream: int
    replay_events: int


@dataclass
class Services:
    """The parts behind the HTTP surface.

    `process` names this process in stream ids and consumers; `sessions` are the open streams, `verifier` checks
    tokens, `admission` quotas; `faults()`
    lists what makes it unfit to live; `links()` says of each NATS connection whether it is up; `loop_lag` knows how
    late the event loop was; `shaping()` says of which tenants not all events pass as they are, and why.
    """

    options: Options
    process: str
    hub: Hub
    registry: Registry
    store: Store
    admission: Admission
    sessions: Sessions
    verifier: Verifier
    faults: Callable[[], list[str]]
    links: Callable[[], dict[str, bool]]
    loop_lag: LoopLag
    shaping: Callable[[], dict[str, dict[str, object]]]
    draining: bool = False
    refusals: dict[str, int] = field(default_factory=dict)

    @property
    def ready(self) -> bool:
        """NATS answered once, the tenants were loaded once, and this process is not on its way out.

        Losing NATS later does not change it: every pod would go at once, and an ingress's 503 ends EventSources for
        good.
        """
        return self.registry.loaded and not self.draining

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
