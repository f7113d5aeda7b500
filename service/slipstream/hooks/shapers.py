"""The shapers of all tenants: one for each document, made when it is first asked for."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from functools import partial
from importlib.metadata import EntryPoint
from typing import Any, Final, NamedTuple, Protocol

from slipstream.hooks.installed import EVENT_KEYS, HOOKS, built_in, installed
from slipstream.hooks.stage import Setup
from slipstream.hooks.wire import Plan
from slipstream.shape.event import HookFactory
from slipstream.shape.key import KeyFactory
from slipstream.shape.shaper import Shaper, make_shaper
from slipstream.tenants.model import Tenant
from slipstream.tenants.registry import Registry

_logger = logging.getLogger(__name__)

_RETRY_SECONDS: Final = 10.0


_CLOSED: Final = Shaper(maskers={frozenset(): None}, closed="the tenant is not known to this process")


class Secrets(Protocol):
    """Where the tenants' secrets are."""

    def get(self, tenant: str, name: str) -> bytes:
        """One secret. Raises SecretMissing."""
        ...


class Limits(NamedTuple):
    """What hooks of packages may take: seconds for one event, bytes of address space."""

    budget: float
    memory: int


class _Made(NamedTuple):
    tenant: Tenant
    shaper: Shaper
    setup: Setup


class Shapers:
    """`event_bytes(tenant)` is the most that an event of it may weigh."""

    def __init__(self, registry: Registry, secrets: Secrets, event_bytes: Callable[[str], int], limits: Limits) -> None:
        self._registry = registry
        self._secrets = secrets
        self._event_bytes = event_bytes
        self._limits = limits
        self._made: dict[str, _Made] = {}
        found = installed(HOOKS)
        self._hooks: Mapping[str, HookFactory] = _load({name: one for name, one in found.items() if built_in(one)})
        self._foreign = frozenset(found) - frozenset(self._hooks)
        self._keys: Mapping[str, KeyFactory] = _load(installed(EVENT_KEYS))

    def of(self, name: str) -> Shaper:
        """How the events of a tenant look now."""
        return self._get(name).shaper

    def setup(self, name: str) -> Setup:
        """The same for the stage of its hooks."""
        return self._get(name).setup

    def refresh(self, name: str) -> None:
        """The tenant's document changed: forget what was made of it, unless its events look the same."""
        made, tenant = self._made.get(name), self._registry.get(name)
        if made is not None and (tenant is None or _shape(tenant) != _shape(made.tenant)):
            del self._made[name]

    async def run(self, changed: Callable[[str], None]) -> None:
        """Try for ever to make those again that could not be made whole: a secret may have been put in its place.

        `changed(tenant)` is told of each that came out otherwise.
        """
        while True:
            await asyncio.sleep(_RETRY_SECONDS)
            for name, made in list(self._made.items()):
                if made.shaper.faults and self._make(made.tenant).shaper.faults != made.shaper.faults:
                    del self._made[name]
                    changed(name)

    def document(self, hooks: Mapping[str, Mapping[str, int]]) -> dict[str, dict[str, object]]:
        """Of each tenant whose events do not all pass as they are: what has to be mended, and counts by cause.

        hooks: the counts of chains that run in a process of their own, by tenant.
        """
        return {
            name: {"faults": made.shaper.faults, "counts": dict(made.shaper.counts), "hooks": hooks.get(name, {})}
            for name, made in self._made.items()
            if made.shaper.faults or made.shaper.counts or name in hooks
        }

    def _get(self, name: str) -> _Made:
        made = self._made.get(name)
        if made is None:
            tenant = self._registry.get(name)
            if tenant is None:
                # Its rules are not known, so nothing may pass.
                return _Made(Tenant.of(name), _CLOSED, Setup(_CLOSED, _no_plan, partial(self._secrets.get, name)))
            made = self._made[name] = self._make(tenant)
            for fault in made.shaper.faults:
                _logger.error("tenant %s: %s", name, fault)
        return made

    def _make(self, tenant: Tenant) -> _Made:
        shaper = make_shaper(tenant, self._secrets.get, self._hooks, self._keys, self._foreign)
        setup = Setup(shaper, partial(self._plan, tenant), partial(self._secrets.get, tenant.name))
        return _Made(tenant, shaper, setup)

    def _plan(self, tenant: Tenant) -> Plan:
        return Plan(
            tenant.name,
            tenant.spec.hooks,
            self._limits.budget * 1000,
            self._limits.memory,
            self._event_bytes(tenant.name),
        )


def _no_plan() -> Plan:
    raise LookupError("a tenant that is not known has no hooks")


def _shape(tenant: Tenant) -> object:
    spec = tenant.spec
    return spec.event_key, spec.ordered, spec.masking, spec.hooks, spec.event_bytes


def _load(entries: Mapping[str, EntryPoint]) -> dict[str, Any]:
    """What the entry points name; what cannot be imported is told and left out."""
    loaded = {}
    for name, entry in entries.items():
        try:
            loaded[name] = entry.load()
        except Exception:
            _logger.exception("the entry point %s of %s cannot be loaded", name, entry.group)
    return loaded
