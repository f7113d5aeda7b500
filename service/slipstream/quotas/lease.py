"""Who is alive: by the log's own clock for the others, by our own for ourselves.

Every process writes a sign of life into one log, and every process reads that log whole and in order. Ages are
differences between two stored times of that log, so the clocks of the processes do not matter. Where the log's clock
steps, because another server writes it, or nobody wrote, because NATS was away, nobody grows older: else the first who
writes again would take all others for gone, and their shares with them. A process counts its own lease from the moment
before it sent the sign, and only once it has read the sign in the log: by then it has read whatever was done to it
before, and it stops before anybody else can take it for gone.
"""

from __future__ import annotations

from typing import Final

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


class Members:
    """The processes that the log shows, as far as it was read. lease: in seconds.

    position: the last sequence read. loaded: whether the log was read to what was its end at the start; until then
    everybody counts as alive.
    """

    __slots__ = ("_heard", "_lease_ms", "_now_ms", "loaded", "position")

    def __init__(self, lease: float) -> None:
        self._lease_ms = lease * 1000
        self._heard: dict[str, int] = {}
        self._now_ms = 0
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
        if not 0 <= passed <= _STILL * self._lease_ms:
            self._heard = {process: heard + passed for process, heard in self._heard.items()}

    def heard(self, process: str, time_ms: int) -> None:
        """A sign of life."""
        if process not in self._heard:
            self._forget()
        self._heard[process] = time_ms

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
        oldest = self._now_ms - _KEPT * self._lease_ms
        self._heard = {process: heard for process, heard in self._heard.items() if heard > oldest}

    def _alive(self, process: str) -> bool:
        heard = self._heard.get(process)
        return heard is not None and self._now_ms - heard <= self._lease_ms
