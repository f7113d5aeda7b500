"""An event on its way to readers, and what can become of it there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple


class Event(NamedTuple):
    """One event as hooks see it and readers get it.

    id: `<epoch>-<seq>-<mark>[.<key>]`. event: the name, "" is the default. time_ms: when JetStream stored it. data:
    UTF-8, masked already. signature: what a signing hook made of the event, else None.
    """

    id: str
    topic: str
    event: str
    time_ms: int
    data: bytes
    signature: str | None = None


class Withheld(NamedTuple):
    """The readers of this view may not have the event, and are told so (`stream.gap`, reason `withheld`).

    reason: one sentence that has nothing of the event in it.
    """

    reason: str


class Dropped(NamedTuple):
    """A hook filtered the event out: for the readers it does not exist, as if it had another topic."""


class Undeliverable(NamedTuple):
    """What is stored is no event (`Record.fault`); the readers are told so (reason `undeliverable`)."""


Outcome = Event | Withheld | Dropped | Undeliverable

Hook = Callable[[Event], Event | None]
"""Gets an event and answers it, changed or not, or None to drop it. It may change `data`, `event` and `signature`."""


@dataclass(frozen=True, slots=True)
class Context:
    """What a hook's factory is made with.

    tenant: whose events it will get. config: the hook's `config` from the tenant document. secret: the bytes of one
    of the tenant's secrets by its name; raises SecretMissing.
    """

    tenant: str
    config: Mapping[str, Any]
    secret: Callable[[str], bytes]


class SecretMissing(Exception):
    """A secret that the tenant document names is not there; the message says where it belongs."""


HookFactory = Callable[[Context], Hook]
"""What an entry point of the group `slipstream.hooks` is. Raises ValueError for a config it cannot work with."""
