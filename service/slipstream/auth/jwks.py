"""When the keys behind a URL are used, and when they are read again: the rules of one cache entry.

Keys that are known are always used at once, so that an issuer that is away stops nobody: they are good for a day
beyond the last reading. One reading is under way at a time. A name that is not known may be a new key's: it causes a
reading, but not twice within the cooldown, or anybody could make us flood the issuer with made-up names.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Final, NamedTuple

from slipstream.auth.jwk import Key, KeySet

FRESH: Final = 300.0
"""Seconds after which known keys are read again, in the background."""
STALE: Final = 86_400.0
"""Seconds after which keys that could not be read again are no longer believed."""
COOLDOWN: Final = 10.0
"""Seconds between readings that unknown names, or failures, cause."""


class Do(Enum):
    """What a caller has to do."""

    USE = auto()  # the key is here
    REFRESH = auto()  # the key is here; start a reading, and do not wait for it
    WAIT = auto()  # wait for the reading under way, or start it; then ask again
    UNKNOWN = auto()  # the issuer has no such key
    AWAY = auto()  # the issuer cannot be reached: come back after `seconds`


class Verdict(NamedTuple):
    """What to do, with the key of USE and REFRESH and the seconds of AWAY."""

    do: Do
    key: Key | None = None
    seconds: float = 0.0


class Jwks:
    """The keys of one URL; `now` is monotonic, in seconds."""

    def __init__(self) -> None:
        self._keys: KeySet | None = None
        self._read_at = 0.0
        self._failed_at: float | None = None
        self._searched_at: float | None = None
        self.reading = False

    def judge(self, kid: str | None, algorithm: str, now: float, *, waited: bool = False) -> Verdict:
        """What to do for a token that names the key `kid`. waited: this caller has been told WAIT, and has waited."""
        keys = self._current(now)
        key = None if keys is None else keys.find(kid, algorithm)
        failing = self._failed_at is not None and now - self._failed_at < COOLDOWN
        if key is not None:
            due = now - self._read_at >= FRESH and not self.reading and not failing
            return Verdict(Do.REFRESH if due else Do.USE, key)
        if keys is None:
            # Nothing can be said about any token until the keys are here.
            if failing and not self.reading:
                return self._away(now)
            return self._away(now) if waited else Verdict(Do.WAIT)
        if waited:
            return self._away(now) if failing else Verdict(Do.UNKNOWN)
        if self.reading:
            return Verdict(Do.WAIT)
        if failing:
            return self._away(now)
        if self._searched_at is not None and now - self._searched_at < COOLDOWN:
            return Verdict(Do.UNKNOWN)
        self._searched_at = now
        return Verdict(Do.WAIT)

    def began(self) -> None:
        """A reading is under way."""
        self.reading = True

    def succeeded(self, keys: KeySet, now: float) -> None:
        """The reading brought these."""
        self.reading = False
        self._keys, self._read_at, self._failed_at = keys, now, None

    def failed(self, now: float) -> None:
        """The reading brought nothing: what was known before stays good for its time."""
        self.reading = False
        self._failed_at = now

    def _current(self, now: float) -> KeySet | None:
        return self._keys if now - self._read_at < STALE else None

    def _away(self, now: float) -> Verdict:
        since = now if self._failed_at is None else self._failed_at
        return Verdict(Do.AWAY, seconds=max(1.0, since + COOLDOWN - now))
