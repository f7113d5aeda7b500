"""Rates between two looks, each by the clock of the process that counted."""

import pytest

from loadtest.roamed import Produced, ProducerReport, Roamed, RoamReport
from loadtest.sample import Footprint, Snapshot, load, sample
from loadtest.tally import Findings
from tests.unit.loadtest.outcomes import histogram

SECOND = 10**9


def report(at: float, events: int, live: int, *ms: float) -> RoamReport:
    roamed = Roamed(events=events, opened=live, inspected=Findings(latency=histogram(*ms)))
    roamed.ended["end of stream"] = events // 1_000
    return RoamReport(int(at * SECOND), True, live, 0, roamed, [])


def snapshot(at: float, events: tuple[int, int], sent: int, pods: list[Footprint | None], *ms: float) -> Snapshot:
    # The second process answers half a second late.
    clients = [report(at, events[0], 3, *ms), report(at + 0.5, events[1], 4)]
    return Snapshot(at, clients, ProducerReport(int(at * SECOND), True, Produced(sent=sent), []), pods, None, 7)


def test_rates_are_by_the_clock_of_each_process() -> None:
    pods: list[Footprint | None] = [Footprint(11, 1.0, 5.0, 2.0, 100), Footprint(12, 1.0, 0.5, 0.0, 100), None]
    later: list[Footprint | None] = [
        Footprint(11, 3.0, 6.0, 2.5, 150),
        Footprint(99, 3.0, 0.1, 0.0, 90),
        Footprint(13, 3.0, 0.1, 0.0, 90),
    ]
    early = snapshot(1.0, (100, 1_000), 10, pods, 5)
    late = snapshot(3.0, (300, 4_000), 40, later, 5, 8, 8, 8)
    found = sample(early, late)
    assert (found.at, found.seconds, found.published, found.live) == (3.0, 2.0, 15.0, 7)
    assert found.delivered == 200 / 2 + 3_000 / 2
    assert found.left == 3 / 2
    assert found.p50_ms == pytest.approx(8, rel=0.01), "what was measured before does not count"
    first, *others = found.pods
    assert first is not None
    assert (first.cpu, first.waited, first.memory) == (0.5, 0.25, 150)
    assert others == [None, None], "another process, and one that was away before"


def test_without_an_event_there_is_no_latency() -> None:
    one, other = snapshot(1.0, (0, 0), 0, [], 5), snapshot(2.0, (0, 0), 0, [], 5)
    found = sample(one, other)
    assert (found.p50_ms, found.p99_ms, found.delivered, found.nats) == (None, None, 0.0, None)


def test_the_same_look_twice_makes_no_load() -> None:
    assert load(Footprint(1, 2.0, 3.0, 4.0, 5), Footprint(1, 2.0, 3.0, 4.0, 5)) is None
