"""Event keys: what stands behind the position in an event's id, `<epoch>-<seq>-<mark>.<key>`, for the reader's eyes.

A key is made of nothing but what is stored (the record and its log's epoch), so that the same event has the same id on
every pod and after every resume. Resuming ignores it.
"""

from __future__ import annotations

import base64
import hashlib
import re
import unicodedata
import uuid as uuids
from collections.abc import Callable, Mapping
from typing import Any, Final

from slipstream.protocol.event import Record

KEY_MAX: Final = 90
"""Most characters of a key: with the longest position before it an id has 128."""

KeyStrategy = Callable[[Record, str], str | None]
"""Gets a record and the epoch of its log; answers the key, or None for none. Called once per event and view."""

KeyFactory = Callable[[Mapping[str, Any]], KeyStrategy]
"""What an entry point of the group `slipstream.event_keys` is. Raises ValueError for a config it cannot work with.

It gets the tenant's `event_key.config`, and with it `prefix` (text or None) and `ordered` (true or false).
"""

_FITS: Final = re.compile(rf"[A-Za-z0-9._-]{{1,{KEY_MAX}}}")
_STRANGE: Final = re.compile(r"[^A-Za-z0-9._]+")
_DIGEST: Final = 16
_HASHED: Final = re.compile(rf"--[A-Za-z0-9_-]{{{_DIGEST}}}\Z")
_EVENTS: Final = uuids.uuid5(uuids.NAMESPACE_DNS, "slipstream.dev")
"""The namespace of our UUIDs (RFC 9562 section 5.5). Never to be changed: ids depend on it."""


def fits(key: object) -> bool:
    """Whether an id can carry this key as it is."""
    return isinstance(key, str) and _FITS.fullmatch(key) is not None


def no_key(_record: Record, _epoch: str) -> None:
    """The strategy `sequence`: the position says it all."""
    return


def readable(key: str) -> str | None:
    """A business key as an id can carry it; None when nothing is left of it.

    Normalised (NFKC), without the white space around it, upper and lower case kept. One that does not fit an id's
    alphabet or length becomes what can be read of it and 96 bits of its SHA-256. A key that looks like such a text is
    hashed, too: two keys that differ, normalised, never become the same text.
    """
    text = unicodedata.normalize("NFKC", key).strip()
    if not text:
        return None
    if fits(text) and not _HASHED.search(text):
        return text
    letters = "".join(each for each in unicodedata.normalize("NFKD", text) if not unicodedata.combining(each))
    slug = _STRANGE.sub("-", letters).strip("-")[: KEY_MAX - _DIGEST - 2].rstrip("-")
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
    return f"{slug or 'key'}--{base64.urlsafe_b64encode(digest).decode()[:_DIGEST]}"


def sequence(_config: Mapping[str, Any]) -> KeyStrategy:
    """No key."""
    return no_key


def uuid(_config: Mapping[str, Any]) -> KeyStrategy:
    """UUIDv5 of epoch and sequence."""
    return lambda record, epoch: str(uuids.uuid5(_EVENTS, f"{epoch}-{record.seq}"))


def timestamp(config: Mapping[str, Any]) -> KeyStrategy:
    """`[<prefix>-]<ms>-<seq>`, the time being when the event was stored, in milliseconds since 1970."""
    head = f"{config['prefix']}-" if config.get("prefix") else ""
    return lambda record, _: f"{head}{record.time_ms}-{record.seq}"


def key(_config: Mapping[str, Any]) -> KeyStrategy:
    """The producer's key (`Sse-Key`); an event that came without has none."""
    return lambda record, _: readable(record.key) if record.key else None


def auto(config: Mapping[str, Any]) -> KeyStrategy:
    """The event's key if it has one, else time and sequence where the tenant is ordered, else a UUID."""
    own = key(config)
    other = timestamp(config) if config.get("ordered") else uuid(config)
    return lambda record, epoch: own(record, epoch) or other(record, epoch)
