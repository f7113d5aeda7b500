"""The reset machine of our push feed: deliver, drop, or start again after the last event. Pure; time is an argument.

JetStream numbers what it sends to a consumer without a hole. A number that does not follow, a heartbeat that names
another number than ours, or silence for longer than two heartbeats means that something was lost on the way; the cure
is always the same: a new consumer, one generation later, that starts after the last event we took (NATS ADR-17).
Messages of an older generation are ignored, so a late one can do no harm.
"""

from __future__ import annotations

from enum import Enum, auto

SILENCE = 2.2
"""Seconds without a message or heartbeat (1 s interval) after which the consumer is taken for dead."""


class Action(Enum):
    """What the feed does with what it just learned."""

    DELIVER = auto()
    DROP = auto()
    RESET = auto()


class Cursor:
    """Where the feed stands: `last` is the stream sequence of the last event taken."""

    __slots__ = ("_consumer_seq", "_following", "_heard_at", "generation", "last", "reason")

    def __init__(self, last: int) -> None:
        self.last = last
        self.generation = 0
        self.reason = "start"
        self._consumer_seq = 0
        self._following = False
        self._heard_at = 0.0

    @property
    def following(self) -> bool:
        """True while a consumer of the current generation delivers without a hole."""
        return self._following

    def begin(self, now: float) -> int:
        """A new consumer is about to be made: the generation whose messages will count from now on."""
        self.generation += 1
        self._consumer_seq = 0
        self._following = True
        self._heard_at = now
        return self.generation

    def rewind(self, last: int) -> None:
        """The stream is another one, or was rewritten: go on after `last` of it. Only between generations."""
        self.last = last

    def message(self, generation: int, stream_seq: int, consumer_seq: int, now: float) -> Action:
        """A message arrived. DELIVER moves the cursor; it is the caller's duty to take the event before returning."""
        if generation != self.generation or not self._following:
            return Action.DROP
        self._heard_at = now
        if consumer_seq != self._consumer_seq + 1:
            return self.lost(f"consumer sequence {consumer_seq} after {self._consumer_seq}")
        self._consumer_seq = consumer_seq
        if stream_seq <= self.last:
            return Action.DROP
        self.last = stream_seq
        return Action.DELIVER

    def heartbeat(self, generation: int, last_consumer_seq: int, now: float) -> Action:
        """A heartbeat arrived that names the last consumer sequence the server has sent."""
        if generation != self.generation or not self._following:
            return Action.DROP
        self._heard_at = now
        if last_consumer_seq != self._consumer_seq:
            return self.lost(f"heartbeat names {last_consumer_seq}, taken {self._consumer_seq}")
        return Action.DROP

    def tick(self, now: float) -> Action:
        """Time passed."""
        if self._following and now - self._heard_at > SILENCE:
            return self.lost(f"silent for {now - self._heard_at:.1f} s")
        return Action.DROP

    def lost(self, reason: str) -> Action:
        """The consumer cannot be trusted any more (a hole, a reconnect, a dead connection): RESET."""
        self._following = False
        self.reason = reason
        return Action.RESET
