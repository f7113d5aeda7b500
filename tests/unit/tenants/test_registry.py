"""The registry: one snapshot at a time, and everybody told of every change."""

import pytest

from slipstream.tenants import Registry, Tenant, TenantSpec

ACME, BETA = Tenant.of("acme"), Tenant.of("beta")
GROWN = Tenant.of("acme", TenantSpec(replicas=3))


def test_empty_and_not_loaded_at_first() -> None:
    registry = Registry()
    assert dict(registry.snapshot) == {}
    assert registry.get("acme") is None
    assert not registry.loaded


def test_only_a_replace_makes_it_loaded() -> None:
    registry = Registry()
    registry.put(ACME)
    assert not registry.loaded
    registry.replace({})
    assert registry.loaded
    assert registry.get("acme") is None


def test_put_replace_and_remove() -> None:
    registry = Registry()
    registry.replace({"acme": ACME, "beta": BETA})
    registry.put(GROWN)
    assert registry.get("acme") == GROWN
    registry.remove("beta")
    registry.remove("beta")
    assert dict(registry.snapshot) == {"acme": GROWN}


def test_a_snapshot_in_hand_never_changes() -> None:
    registry = Registry()
    source = {"acme": ACME}
    registry.replace(source)
    before = registry.snapshot
    source["beta"] = BETA
    registry.put(GROWN)
    registry.remove("acme")
    assert dict(before) == {"acme": ACME}
    with pytest.raises(TypeError):
        before["beta"] = BETA  # type: ignore[index]


def test_subscribers_are_told_which_tenants_changed_after_the_swap() -> None:
    registry = Registry()
    told: list[tuple[set[str], dict[str, Tenant]]] = []
    registry.subscribe(lambda names: told.append((set(names), dict(registry.snapshot))))
    registry.replace({"acme": ACME, "beta": BETA})
    registry.put(GROWN)
    registry.put(GROWN)
    registry.replace({"acme": GROWN})
    registry.remove("gone")
    assert told == [
        ({"acme", "beta"}, {"acme": ACME, "beta": BETA}),
        ({"acme"}, {"acme": GROWN, "beta": BETA}),
        ({"beta"}, {"acme": GROWN}),
    ]


def test_who_unsubscribes_is_told_no_more() -> None:
    registry = Registry()
    told: list[frozenset[str]] = []
    stop = registry.subscribe(told.append)
    registry.subscribe(told.append)
    registry.put(ACME)
    stop()
    stop()
    registry.put(BETA)
    assert told == [{"acme"}, {"acme"}, {"beta"}]


def test_a_subscriber_that_fails_leaves_the_others_told_and_is_heard_of() -> None:
    registry = Registry()
    told: list[frozenset[str]] = []

    def failing(_: frozenset[str]) -> None:
        raise RuntimeError("broken")

    registry.subscribe(failing)
    registry.subscribe(told.append)
    with pytest.raises(ExceptionGroup) as caught:
        registry.put(ACME)
    assert caught.group_contains(RuntimeError, match="broken")
    assert told == [{"acme"}]
    assert registry.get("acme") == ACME
