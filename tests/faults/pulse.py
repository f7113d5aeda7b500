"""How long nothing came, and when. Pure: times go in, pauses come out."""

from dataclasses import dataclass, field
from typing import Final, NamedTuple

SHORTEST: Final = 0.06
"""Shorter pauses are not kept, of which a steady stream is made."""


class Wait(NamedTuple):
    """The client itself waited before it connected again. why: what ended the connection before."""

    seconds: float
    why: str


class Pause(NamedTuple):
    """Nothing came between these moments, in which the client connected again after each of its waits."""

    begin: float
    end: float
    waits: tuple[Wait, ...] = ()

    @property
    def seconds(self) -> float:
        """How long it was."""
        return self.end - self.begin

    @property
    def recovery(self) -> float:
        """How long it was without the client's own retry.

        That is its first wait. Who has to wait again was turned away, which is the cluster's doing.
        """
        return self.seconds - (self.waits[0].seconds if self.waits else 0.0)

    def __str__(self) -> str:
        waits = "".join(f", waited {wait.seconds:.1f} s after: {wait.why}" for wait in self.waits)
        return f"{self.seconds:.1f} s in all{waits}"


@dataclass(slots=True, eq=False)
class Pulse:
    """The beats of one client: its deliveries, or its acknowledgements."""

    name: str
    last: float | None = None
    pauses: list[Pause] = field(default_factory=list)
    _waits: list[Wait] = field(default_factory=list)

    def beat(self, now: float) -> None:
        """Something came."""
        if self.last is not None and now - self.last >= SHORTEST:
            self.pauses.append(Pause(self.last, now, tuple(self._waits)))
        self._waits.clear()
        self.last = now

    def waited(self, seconds: float, why: str) -> None:
        """The client itself waited for so long before it connects again."""
        self._waits.append(Wait(seconds, why))

    def touching(self, begin: float, end: float) -> list[Pause]:
        """The pauses that touch a time; one that still lasts counts up to `end`."""
        found = [one for one in self.pauses if one.end > begin and one.begin < end]
        if self.last is not None and end - self.last >= SHORTEST:
            found.append(Pause(self.last, end, tuple(self._waits)))
        return found

    def longest(self, begin: float, end: float) -> float:
        """The longest pause of those that touch a time; 0.0 if all were shorter than is kept."""
        return max((one.seconds for one in self.touching(begin, end)), default=0.0)
