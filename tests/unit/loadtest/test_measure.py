"""Rates between two moments, shares of the streams, and the list of broken promises."""

from collections import Counter

import pytest

from loadtest.latency import Histogram
from loadtest.measure import Moment, Window, faults, shares
from loadtest.procfs import Usage
from loadtest.tally import Findings, Published, PublisherReport, ReaderReport, Received

ACKED = Published(sent=20, acked=20)


def moment(at: float, edge: Usage, counts: tuple[int, ...], sent: int, found: Findings | None = None) -> Moment:
    """All processes answer at `at`, but each reader 1 s later than the one before."""
    readers = []
    for late, events in enumerate(counts):
        received = Received(cpu_seconds=at / 2, events=events, inspected=found or Findings())
        readers.append(ReaderReport(int((at + late) * 1e9), True, 10, 0, received))
    return Moment(at, edge, readers, PublisherReport(int(at * 1e9), True, Published(sent=sent)))


def test_rates_are_by_the_time_between_and_the_edges_own_processor_time() -> None:
    window = Window.between(
        moment(100, Usage(5, 1), (1000, 2000), 50, Findings(events=10, segments=12)),
        moment(110, Usage(9, 1.5), (3000, 5000), 150, Findings(events=50, segments=22)),
    )
    assert (window.seconds, window.cpu, window.waited) == (10, 0.4, 0.05)
    assert (window.delivered, window.published, window.reader_cpu) == (500, 10, 0.5)
    assert window.per_cpu_second == 1250
    assert window.cpu_us == pytest.approx(800)
    assert window.events_per_write == 4.0


def test_latency_is_that_of_the_window_alone() -> None:
    early, late = moment(0, Usage(0, 0), (0,), 0), moment(1, Usage(1, 0), (1,), 1)
    early.readers[0].received.inspected.latency = Histogram({100: 5})
    late.readers[0].received.inspected.latency = Histogram({100: 5, 50: 2})
    assert Window.between(early, late).latency_ms(99) == pytest.approx(50e-6)


def test_a_window_without_deliveries_has_no_cost_per_delivery() -> None:
    window = Window.between(moment(0, Usage(0, 0), (0,), 0), moment(1, Usage(1, 0), (0,), 1))
    assert (window.cpu_us, window.per_cpu_second, window.events_per_write, window.latency_ms(50)) == (None,) * 4


@pytest.mark.parametrize(
    ("total", "parts", "split"), [(10, 1, [10]), (10, 3, [4, 3, 3]), (2, 3, [1, 1]), (9, 3, [3, 3, 3])]
)
def test_streams_are_shared_out_evenly(total: int, parts: int, split: list[int]) -> None:
    assert shares(total, parts) == split


def test_a_run_that_delivered_everything_in_order_has_no_fault() -> None:
    assert faults(Received(events=200), ACKED, 10) == []


@pytest.mark.parametrize(
    ("received", "published", "told"),
    [
        (Received(events=199), ACKED, ["1 events lost"]),
        (Received(events=203), ACKED, ["3 events too many"]),
        (Received(events=200, inspected=Findings(disordered=2)), ACKED, ["2 events out of order"]),
        (Received(events=200, inspected=Findings(missing=2)), ACKED, ["2 events missing in sequence"]),
        (Received(events=200, inspected=Findings(gaps=4)), ACKED, ["4 gap frames"]),
        (
            Received(events=200),
            Published(sent=20, acked=19, failed=Counter(["no acknowledgement"])),
            ["1 publishes not acknowledged", "causes: 1 x no acknowledgement"],
        ),
        (
            Received(events=200, ended=Counter({"end of stream": 2}), inspected=Findings(errors=Counter(["SLOW"]))),
            ACKED,
            ["2 streams ended early", "1 error frames", "causes: 2 x end of stream, 1 x SLOW"],
        ),
    ],
)
def test_each_broken_promise_is_a_fault(received: Received, published: Published, told: list[str]) -> None:
    assert faults(received, published, 10) == told
