"""What is installed: our own hooks and event keys, declared as anybody's would be."""

from importlib.metadata import EntryPoint, EntryPoints
from typing import Any

import pytest

from slipstream.hooks import installed
from slipstream.shape import hooks, key


def test_the_built_in_hooks_are_entry_points_and_there_is_one_list_of_them() -> None:
    found = installed.installed(installed.HOOKS)
    assert {name: entry.load() for name, entry in found.items() if installed.built_in(entry)} == hooks.BUILT_IN


def test_the_built_in_event_keys_are_entry_points() -> None:
    found = installed.installed(installed.EVENT_KEYS)
    own = {name: entry.load() for name, entry in found.items() if installed.built_in(entry)}
    assert own == {
        "sequence": key.sequence,
        "uuid": key.uuid,
        "timestamp": key.timestamp,
        "key": key.key,
        "auto": key.auto,
    }


def test_a_group_that_nobody_has_is_empty() -> None:
    assert installed.installed("slipstream.nothing") == {}


@pytest.mark.parametrize("backwards", [False, True])
def test_of_two_with_one_name_our_own_wins_else_the_same_one_on_every_pod(
    monkeypatch: pytest.MonkeyPatch,
    backwards: bool,  # noqa: FBT001 - drawn
) -> None:
    group = installed.HOOKS
    entries = [
        EntryPoint("sign", "aaa.hooks:sign", group),
        EntryPoint("sign", "slipstream.shape.hooks:sign", group),
        EntryPoint("audit", "slipstream_audit:hook", group),
        EntryPoint("audit", "acme:hook", group),
    ]

    def entry_points(**_asked: Any) -> EntryPoints:
        return EntryPoints(reversed(entries) if backwards else entries)

    monkeypatch.setattr(installed, "entry_points", entry_points)
    found = installed.installed(group)
    assert {name: entry.value for name, entry in found.items()} == {
        "sign": "slipstream.shape.hooks:sign",
        "audit": "acme:hook",
    }
    assert [name for name, entry in found.items() if installed.built_in(entry)] == ["sign"]
