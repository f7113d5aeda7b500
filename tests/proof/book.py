"""What the publisher was promised: sequence number by sequence number. Pure."""

from dataclasses import dataclass, field

from tests.proof.checker import Event, matches


@dataclass(slots=True)
class Book:
    """The acknowledged events of one tenant.

    started: events handed to NATS at least once: the log can never be longer.
    broken: acknowledgements that contradict each other, in words: one number for two events is a lost event.
    """

    started: int = 0
    acked: dict[int, Event] = field(default_factory=dict)
    highest: int = 0
    broken: list[str] = field(default_factory=list)

    def start(self) -> None:
        """An event is about to be published for the first time."""
        self.started += 1

    def ack(self, seq: int, event: Event) -> None:
        """JetStream acknowledged this event under this number; called once an event."""
        if seq in self.acked:
            self.broken.append(f"number {seq} was acknowledged for {self.acked[seq].topic} and {event.topic}")
        self.acked[seq] = event
        self.highest = max(self.highest, seq)

    def last_match(self, filters: tuple[str, ...], bound: int | None = None) -> int:
        """The highest acknowledged number, at most `bound`, whose topic is wanted; 0 if none."""
        for seq in range(self.highest if bound is None else bound, 0, -1):
            event = self.acked.get(seq)
            if event is not None and matches(filters, event.topic):
                return seq
        return 0

    def holes(self) -> list[int]:
        """Numbers up to the highest that were acknowledged for nothing: none, if every event was stored once."""
        return [seq for seq in range(1, self.highest + 1) if seq not in self.acked]
