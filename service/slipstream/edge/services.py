"""What the handlers work with: made once by the composition root, found in the application."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from aiohttp import web

from slipstream.fanout.hub import Hub
from slipstream.log.store import Store
from slipstream.settings import Settings
from slipstream.tenants.model import Tenant
from slipstream.tenants.registry import Registry


@dataclass
class Services:
    """The parts behind the HTTP surface.

    `process` names this process in stream ids and consumers; `faults()` lists what makes it unfit to live; `links()`
    says of each NATS connection whether it is up.

    """

    settings: Settings
    process: str
    hub: Hub
    registry: Registry
    store: Store
    max_connections: int
    faults: Callable[[], list[str]]
    links: Callable[[], dict[str, bool]]
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
        return tenant.spec.event_bytes or self.settings.event_bytes

    def topics_per_stream(self, tenant: Tenant) -> int:
        """How many topics one stream of a tenant may name."""
        return tenant.spec.topics_per_stream or self.settings.topics_per_stream

    def replay_events(self, tenant: Tenant) -> int:
        """How many events one resume of a tenant may replay."""
        return tenant.spec.replay_events or self.settings.replay_events


SERVICES = web.AppKey("services", Services)
