"""Who is taken for dead by a process that has not moved for a while."""

from typing import Any

import pytest

from slipstream.fanout.connection import Connection
from slipstream.fanout.pulse import Pulse

AUDIENCE: Any = None
HEARTBEAT = 15.0
TICK = 0.5


class Network:
    """Peers that acknowledge what was written to them so many seconds before; but for one, which is gone."""

    def __init__(self, gone: int, seconds: float = TICK) -> None:
        self.gone = gone
        self.seconds = seconds
        self.now = 0.0
        self.acknowledged_at = 0.0
        self.written_at = 0.0

    def owing(self, fd: int) -> float:
        if fd != self.gone and self.written_at + self.seconds <= self.now:
            return 0.0
        return self.now - (0.0 if fd == self.gone else self.acknowledged_at)


@pytest.mark.parametrize("answer", [TICK, 4.0], ids=["near", "far"])
@pytest.mark.parametrize("seconds", [10.0, 20.0, 600.0])
def test_after_a_standstill_only_those_that_are_gone_are_found(
    seconds: float, answer: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    everybody = [Connection(number, number, AUDIENCE, 0) for number in range(100)]
    network = Network(50, answer)
    monkeypatch.setattr("slipstream.fanout.pulse.owing", network.owing)
    pulse = Pulse(HEARTBEAT, lambda: list(everybody))
    found: list[int] = []

    def tick() -> None:
        found.extend(one.number for one in pulse.due(network.now) if not pulse.lives(one))

    for _ in range(int(HEARTBEAT / TICK)):
        tick()
        network.now += TICK
    assert not found
    # It stands still when it was about to write; then it writes, and looks before an answer can be there.
    network.acknowledged_at = 0.0
    network.now += seconds
    network.written_at = network.now
    until = network.now + HEARTBEAT
    while network.now < until:
        tick()
        network.now += TICK
    assert set(found) == {50}


def test_turns_of_the_loop_that_are_late_by_less_than_a_second_are_no_standstill(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Or with a short heartbeat a busy process would never look at anybody."""
    network = Network(gone=3)
    monkeypatch.setattr("slipstream.fanout.pulse.owing", network.owing)
    pulse = Pulse(2.0, lambda: [Connection(number, number, AUDIENCE, 0) for number in range(10)])
    found: list[int] = []
    for _ in range(10):
        found.extend(one.number for one in pulse.due(network.now) if not pulse.lives(one))
        network.now += 0.9
        network.written_at = network.now - TICK
    assert set(found) == {3}
