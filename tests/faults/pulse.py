"""How long nothing came, and when. Pure: times go in, pauses come out."""

from dataclasses import dataclass, field
from typing import Final, NamedTuple

SHORTEST: Final = 0.06
"""Shorter pauses are not kept, of which a steady stream is made."""


class Pause(NamedTuple):
    """Nothing came between these moments."""

    begin: float
    end: float


@dataclass(slots=True, eq=False)
class Pulse:
    """The beats of one client: its deliveries, or its acknowledgements."""

    name: str
    last: float | None = None
    pauses: list[Pause] = field(default_factory=list)

    def beat(self, now: float) -> None:
        """Something came."""
        if self.last is not None and now - self.last >= SHORTEST:
            self.pauses.append(Pause(self.last, now))
        self.last = now

    def longest(self, begin: float, end: float) -> float:
        """The longest pause of those that touch a time; 0.0 if all were shorter than is kept.

        A pause that still lasts counts up to `end`.
        """
        found = [one.end - one.begin for one in self.pauses if one.end > begin and one.begin < end]
        if self.last is not None and end - self.last >= SHORTEST:
            found.append(end - self.last)
        return max(found, default=0.0)
