"""Reports come out of their line as they went in, and add and subtract field by field."""

import io
from collections import Counter

from loadtest.latency import Histogram
from loadtest.tally import (
    Findings,
    Published,
    PublisherReport,
    ReaderReport,
    Received,
    publisher_report,
    reader_report,
    write,
)


def received(times: int) -> Received:
    found = Findings(times, 2 * times, 3 * times, 4 * times, 5 * times, Counter({"e": times}), Histogram({9: times}))
    return Received(0.5 * times, 6 * times, 7 * times, 8 * times, Counter({"f": times}), Counter({"g": times}), found)


def as_values(one: Received) -> tuple[object, ...]:
    found = one.inspected
    return (
        (one.cpu_seconds, one.events, one.bytes, one.reads, one.failed, one.ended),
        (found.events, found.disordered, found.missing, found.segments, found.gaps, found.errors),
        found.latency.buckets,
    )


def test_what_happened_between_two_reports_is_their_difference() -> None:
    assert as_values(received(5) - received(2)) == as_values(received(3))


def test_two_processes_add_up() -> None:
    assert as_values(received(5) + received(2)) == as_values(received(7))


def test_a_readers_report_survives_its_line() -> None:
    line = io.BytesIO()
    write(ReaderReport(17, True, 3, 4, received(2)), line)
    report = reader_report(line.getvalue())
    assert (report.at_ns, report.asked, report.live, report.opening) == (17, True, 3, 4)
    assert as_values(report.received) == as_values(received(2))
    assert line.getvalue().count(b"\n") == 1


def test_a_publishers_report_survives_its_line() -> None:
    line = io.BytesIO()
    report = PublisherReport(17, False, Published(0.5, 9, 8, 7, Counter({"x": 1})))
    write(report, line)
    assert publisher_report(line.getvalue()) == report
