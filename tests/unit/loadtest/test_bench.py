"""What a descriptor limit allows."""

import pytest

from loadtest.bench import fitting


@pytest.mark.parametrize(
    ("connections", "limit", "streams", "processes"),
    [(1_000, 20_000, 1_000, 1), (10_000, 20_000, 10_000, 1), (10_000, 4_096, 3_384, 1), (19_980, 20_800, 19_980, 1)],
)
def test_streams_are_as_many_as_the_descriptor_limit_allows(
    connections: int, limit: int, streams: int, processes: int
) -> None:
    assert fitting(connections, limit) == (streams, processes)


def test_a_limit_that_allows_no_stream_says_how_to_raise_it() -> None:
    with pytest.raises(SystemExit, match="ulimit -Hn"):
        fitting(10, 256)
