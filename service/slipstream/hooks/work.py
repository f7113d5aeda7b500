"""What a child has to do: events that wait, by urgency, and those it was handed, in the order of its answers."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Final, NamedTuple

from slipstream.shape.event import Event, Outcome

_WINDOW_BYTES: Final = 512 * 1_024


class Window(NamedTuple):
    """How many events may be under way in the child: `urgent` for live ones, `patient` for what is read again.

    Beyond sixteen little is gained (measured, docs/decisions/010). What is patient gets less, so that a live event
    waits for two of them at most.
    """

    urgent: int = 16
    patient: int = 2


class Batch:
    """Events that one caller waits for: `done` has a result when `outcomes` has one for each of them, by its place."""

    __slots__ = ("done", "events", "outcomes", "urgent")

    def __init__(self, events: Sequence[Event], done: asyncio.Future[None], *, urgent: bool) -> None:
        self.events = events
        self.urgent = urgent
        self.outcomes: dict[int, Outcome] = {}
        self.done = done


class Job(NamedTuple):
    """One event of a batch, by its place in it."""

    batch: Batch
    place: int

    @property
    def event(self) -> Event:
        """The event."""
        return self.batch.events[self.place]

    def settle(self, outcome: Outcome) -> None:
        """What became of it."""
        batch = self.batch
        batch.outcomes[self.place] = outcome
        if len(batch.outcomes) == len(batch.events) and not batch.done.done():
            batch.done.set_result(None)


class Work:
    """Two queues, and what is under way: at most a window of events, and 512 KiB of data or one event."""

    def __init__(self, window: Window) -> None:
        self._window = window
        self._urgent: deque[Job] = deque()
        self._patient: deque[Job] = deque()
        self._flight: deque[Job] = deque()
        self._flight_bytes = 0

    @property
    def waiting(self) -> int:
        """How many events are not under way yet."""
        return len(self._urgent) + len(self._patient)

    @property
    def flight(self) -> int:
        """How many are."""
        return len(self._flight)

    def add(self, batch: Batch) -> None:
        """Events to be done after all that are as urgent."""
        self._queue(batch).extend(Job(batch, place) for place in range(len(batch.events)))

    def withdraw(self, batch: Batch) -> None:
        """Nobody waits for it any more."""
        queue = self._queue(batch)
        kept = [job for job in queue if job.batch is not batch]
        queue.clear()
        queue.extend(kept)

    def next(self) -> Job | None:
        """Takes the next event under way; None when there is none, or no room in the window."""
        if self._flight and self._flight_bytes >= _WINDOW_BYTES:
            return None
        queue, room = (self._urgent, self._window.urgent) if self._urgent else (self._patient, self._window.patient)
        if not queue or len(self._flight) >= room:
            return None
        job = queue.popleft()
        self._flight.append(job)
        self._flight_bytes += len(job.event.data)
        return job

    def first(self) -> Job | None:
        """What the child has at this moment: the oldest under way."""
        return self._flight[0] if self._flight else None

    def answered(self) -> None:
        """The first is done."""
        self._flight_bytes -= len(self._flight.popleft().event.data)

    def fail(self) -> Job | None:
        """The child is no more: the event that it had, and those after it wait again, before all others."""
        first = self.first()
        while len(self._flight) > 1:
            job = self._flight.pop()
            if not job.batch.done.done():
                self._queue(job.batch).appendleft(job)
        self._flight.clear()
        self._flight_bytes = 0
        return first

    def drain(self) -> list[Job]:
        """All there is, which is forgotten."""
        jobs = [*self._flight, *self._urgent, *self._patient]
        for queue in (self._flight, self._urgent, self._patient):
            queue.clear()
        self._flight_bytes = 0
        return jobs

    def _queue(self, batch: Batch) -> deque[Job]:
        return self._urgent if batch.urgent else self._patient
