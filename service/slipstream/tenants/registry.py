"""The tenants known now.

A reader that holds `snapshot` sees one consistent state for as long as it likes. Whoever watches the source of tenants
calls `replace` with everything at first, then `put` and `remove`. All on one thread.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from slipstream.tenants.model import Tenant

Changed = Callable[[frozenset[str]], None]
"""Is told the names of the tenants that are new, different or gone; what they are now is in the registry."""


class Registry:
    """Empty at first and `loaded` no longer false after the first `replace`."""

    def __init__(self) -> None:
        self._tenants: dict[str, Tenant] = {}
        self._snapshot: Mapping[str, Tenant] | None = None
        self._loaded = False
        self._subscribers: dict[object, Changed] = {}

    @property
    def snapshot(self) -> Mapping[str, Tenant]:
        """All tenants by name. Never changes; after the next change there is another."""
        if self._snapshot is None:
            self._snapshot = MappingProxyType(self._tenants.copy())
        return self._snapshot

    @property
    def loaded(self) -> bool:
        """Whether the source was read whole once. Until then an absent tenant may just not be known yet."""
        return self._loaded

    def get(self, name: str) -> Tenant | None:
        """The tenant of this name, or None."""
        return self._tenants.get(name)

    def replace(self, tenants: Mapping[str, Tenant]) -> None:
        """These are all tenants now, by name."""
        self._loaded = True
        before, self._tenants = self._tenants, dict(tenants)
        self._tell(frozenset(name for name in before.keys() | tenants.keys() if before.get(name) != tenants.get(name)))

    def put(self, tenant: Tenant) -> None:
        """The tenant is new or different."""
        if self._tenants.get(tenant.name) != tenant:
            self._tenants[tenant.name] = tenant
            self._tell(frozenset({tenant.name}))

    def remove(self, name: str) -> None:
        """The tenant is gone; one that is not there may be removed."""
        if self._tenants.pop(name, None) is not None:
            self._tell(frozenset({name}))

    def subscribe(self, changed: Changed) -> Callable[[], None]:
        """Have `changed` called after every change; what is there already is not told. Returns how to stop it."""
        ticket = object()
        self._subscribers[ticket] = changed

        def unsubscribe() -> None:
            self._subscribers.pop(ticket, None)

        return unsubscribe

    def _tell(self, changes: frozenset[str]) -> None:
        if not changes:
            return
        self._snapshot = None
        failures: list[Exception] = []
        for changed in tuple(self._subscribers.values()):
            # One subscriber's fault must not leave the others with a state that is gone.
            try:
                changed(changes)
            except Exception as error:  # noqa: BLE001 - raised below
                failures.append(error)
        if failures:
            raise ExceptionGroup("subscribers of tenants failed", failures)
