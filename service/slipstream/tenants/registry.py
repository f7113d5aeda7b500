"""The tenants known now: one immutable snapshot, swapped whole.

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
        self._snapshot: Mapping[str, Tenant] = MappingProxyType({})
        self._loaded = False
        self._subscribers: dict[object, Changed] = {}

    @property
    def snapshot(self) -> Mapping[str, Tenant]:
        """All tenants by name. Never changes; the next change makes another."""
        return self._snapshot

    @property
    def loaded(self) -> bool:
        """Whether the source was read whole once. Until then an absent tenant may just not be known yet."""
        return self._loaded

    def get(self, name: str) -> Tenant | None:
        """The tenant of this name, or None."""
        return self._snapshot.get(name)

    def replace(self, tenants: Mapping[str, Tenant]) -> None:
        """These are all tenants now, by name."""
        self._loaded = True
        self._swap(dict(tenants))

    def put(self, tenant: Tenant) -> None:
        """The tenant is new or different."""
        self._swap({**self._snapshot, tenant.name: tenant})

    def remove(self, name: str) -> None:
        """The tenant is gone; one that is not there may be removed."""
        self._swap({key: tenant for key, tenant in self._snapshot.items() if key != name})

    def subscribe(self, changed: Changed) -> Callable[[], None]:
        """Have `changed` called after every change; what is there already is not told. Returns how to stop it."""
        ticket = object()
        self._subscribers[ticket] = changed

        def unsubscribe() -> None:
            self._subscribers.pop(ticket, None)

        return unsubscribe

    def _swap(self, after: dict[str, Tenant]) -> None:
        before = self._snapshot
        self._snapshot = MappingProxyType(after)
        changes = frozenset(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
        if not changes:
            return
        failures: list[Exception] = []
        for changed in tuple(self._subscribers.values()):
            # One subscriber's fault must not leave the others with a state that is gone.
            try:
                changed(changes)
            except Exception as error:  # noqa: BLE001 - raised below
                failures.append(error)
        if failures:
            raise ExceptionGroup("subscribers of tenants failed", failures)
