"""Who is alive: by the log's own clock for the others, by our own for ourselves.

Every process writes a sign of life into one log, and every process reads that log whole and in order. Ages are
differences between two stored times of that log, so the clocks of the processes do not matter. Where the log's clock
steps, because another server writes it, or nobody wrote, because NATS was away, nobody grows older: else the first who
writes again would take all others for gone, and their shares with them. A process counts its own lease from the moment
before it sent the sign, and only once it has read the sign in the log: by then it has read whatever was done to it
before, and it stops before anybody else can take it for gone.

Of a step that is small nobody can tell that no time has passed. So nobody is gone, either, before a lease has passed by
the reader's own clock: from when it read the last sign, until it sent one that stands behind it in the log.
"""

from __future__ import annotations

from typing import Final, NamedTuple

_MARGIN: Final = 0.1
"""The part of a lease by which its holder gives up early: for clocks of NATS servers that step, or run apart."""

_STILL: Final = 0.5
"""The part of a lease in which somebody writes, as who lives does every third of it: in more time nobody could, or it
did not pass."""

_KEPT: Final = 4
"""For how many leases it is known that somebody is gone."""


class Lease:
    """The lease of this process. `seconds` is how long the others wait; times are monotonic seconds."""

    __slots__ = ("_seconds", "_until")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds * (1 - _MARGIN)
        self._until = float("-inf")

    def holds(self, now: float) -> bool:
        """Whether nobody can have taken us for gone."""
        return now < self._until

    def renewed(self, sent_at: float, now: float) -> bool:
        """A sign of life that we sent at `sent_at` was read in the log; True when the lease had lapsed before."""
        lapsed = now >= self._until
        self._until = max(self._until, sent_at + self._seconds)
        return lapsed

    def drop(self) -> None:
        """The log is another one: hold nothing until a sign of life was read in it."""
        self._until = float("-inf")


class _Sign(NamedTuple):
    """When a sign of life was stored, by the log's clock, and when it was read, by our own in seconds."""

    time_ms: int
    read_at: float


class Members:
    """The processes that the log shows, as far as it was read. lease: in seconds; our own times are monotonic seconds.

    position: the last sequence read. loaded: whether the log was read to what was its end at the start; until then
    everybody counts as alive.
    """

    __slots__ = ("_heard", "_lease", "_now_ms", "_sent_at", "loaded", "position")

    def __init__(self, lease: float) -> None:
        self._lease = lease
        self._heard: dict[str, _Sign] = {}
        self._now_ms = 0
        self._sent_at = float("-inf")
        self.position = 0
        self.loaded = False

    def clear(self) -> None:
        """The log is read from its beginning again."""
        self._heard.clear()
        self._now_ms = self.position = 0
        self.loaded = False

    def read(self, seq: int, time_ms: int) -> None:
        """An entry of the log, stored at `time_ms`, whatever it says."""
        self.position = max(self.position, seq)
        passed, self._now_ms = time_ms - self._now_ms, time_ms
        if not 0 <= passed <= _STILL * self._lease * 1000:
            self._heard = {one: _Sign(sign.time_ms + passed, sign.read_at) for one, sign in self._heard.items()}

    def heard(self, process: str, time_ms: int, now: float) -> None:
        """A sign of life, stored at `time_ms` and read `now`."""
        if process not in self._heard:
            self._forget()
        self._heard[process] = _Sign(time_ms, now)

    def sent(self, at: float) -> None:
        """What was read last is what we sent `at`: no entry behind it is older."""
        self._sent_at = max(self._sent_at, at)

    def left(self, process: str) -> None:
        """A process said that it goes, or its last sign of life was cleared away."""
        self._heard.pop(process, None)

    def lapsed(self, process: str, revision: int) -> bool:
        """Whether what `process` wrote at or before `revision` is without an owner.

        Not while the log was read less far than `revision`: its writer may have come back just before.
        """
        return self.loaded and revision <= self.position and not self._alive(process)

    @property
    def living(self) -> int:
        """How many processes are alive; at least one, ourselves."""
        return max(1, sum(map(self._alive, self._heard)))

    @property
    def names(self) -> frozenset[str]:
        """The processes that are alive, as far as the log was read."""
        return frozenset(filter(self._alive, self._heard))

    def _forget(self) -> None:
        """Nothing stays of those that are long gone: their signs of life expire without a word."""
        self._heard = {one: sign for one, sign in self._heard.items() if not self._silent(sign, _KEPT * self._lease)}

    def _alive(self, process: str) -> bool:
        sign = self._heard.get(process)
        return sign is not None and not self._silent(sign, self._lease)

    def _silent(self, sign: _Sign, seconds: float) -> bool:
        """For longer than so, by both clocks."""
        return self._now_ms - sign.time_ms > seconds * 1000 and self._sent_at - sign.read_at > seconds
