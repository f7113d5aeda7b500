"""What counts as kept up with, and what is told of a measurement under bad conditions."""

import pytest

from loadtest.measure import Window
from loadtest.result import keeps_up, limits
from loadtest.tally import Findings, Received


def window(
    delivered: float = 200_000,
    *,
    together: float = 1.0,
    waited: float = 0.0,
    reader_cpu: float = 0.5,
    published: float = 200,
) -> Window:
    received = Received(inspected=Findings(events=int(1000 * together), segments=1000))
    return Window(10, 0.8, waited, delivered, published, reader_cpu, received)


def test_a_rate_is_kept_when_all_is_delivered_each_with_a_write_of_its_own() -> None:
    assert keeps_up(window(), 200, 1000)


def test_a_rate_is_not_kept_when_less_is_delivered_than_offered() -> None:
    assert not keeps_up(window(190_000), 200, 1000)


def test_a_rate_is_not_kept_when_events_share_writes() -> None:
    assert not keeps_up(window(together=1.2), 200, 1000)


@pytest.mark.parametrize(
    ("bad", "told"),
    [
        (window(waited=0.2), "other work kept the edge from its core 20%"),
        (window(reader_cpu=0.97), "the readers used 97%"),
        (window(published=100), "the publisher reached only 50%"),
    ],
)
def test_what_limited_a_rate_other_than_the_edge_is_told(bad: Window, told: str) -> None:
    assert [note[: len(told)] for note in limits([(200, window()), (200, bad)])] == [told]
    assert limits([(200, window())]) == []
