"""What readers that stop may take, and that all of them must be closed."""

from loadtest.laggards import EACH_MOST, EDGE_EACH_MOST, Peak, unbounded


def test_within_the_bounds_nothing_is_told() -> None:
    assert unbounded(Peak(edge=10 * EDGE_EACH_MOST, buffers=10 * EACH_MOST), 10, closed=10) == []


def test_each_bound_is_told_for_one_reader() -> None:
    grown = Peak(edge=10 * EDGE_EACH_MOST + 10, buffers=10 * EACH_MOST + 10)
    assert unbounded(grown, 10, closed=9) == [
        "9 streams were closed as slow consumers, not the 10 that stopped",
        f"a reader that stopped took {EACH_MOST + 1:,} bytes of socket buffers",
        f"a reader that stopped took {EDGE_EACH_MOST + 1:,} bytes of the edge's memory",
    ]


def test_more_closed_than_stopped_are_told_too() -> None:
    assert unbounded(Peak(), 10, closed=11) == ["11 streams were closed as slow consumers, not the 10 that stopped"]


def test_growth_is_the_difference_of_two_peaks() -> None:
    assert Peak(edge=30, buffers=50) - Peak(edge=10, buffers=60) == Peak(edge=20, buffers=-10)
