"""Durations and sizes as people write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipstream.tenants.quantity import parse_duration, parse_size


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0", 0), ("86400", 86_400), ("90s", 90), ("90m", 5_400), ("24h", 86_400), ("7d", 604_800), ("1d12h", 129_600),
     ("9" * 18, 999_999_999_999_999_999), ("0" * 17 + "s", 0)],
)  # fmt: skip
def test_durations(text: str, seconds: int) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "h", "-1", "1.5h", "12h1d", "1w", "1 h", "24H", "²", "٣", "٣h", "1h\n", "9" * 19, "9" * 5_000 + "d"]
)
def test_anything_else_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="write a duration as"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("512", 512),
        ("512B", 512),
        ("1K", 1_000),
        ("1Ki", 1_024),
        ("256KiB", 262_144),
        ("3MB", 3_000_000),
        ("512MiB", 536_870_912),
        ("5G", 5_000_000_000),
        ("9" * 18, 999_999_999_999_999_999),
        ("1Gi", 1_073_741_824),
        ("1GiB", 1_073_741_824),
        ("2TB", 2_000_000_000_000),
        ("2TiB", 2_199_023_255_552),
    ],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "B", "-1", "1.5GiB", "1 GiB", "1gib", "1iB", "1PB", "٣", "1G\n", "9" * 19])
def test_anything_else_is_no_size(text: str) -> None:
    with pytest.raises(ValueError, match="write a size as"):
        parse_size(text)


@given(st.integers(0, 9_999), st.integers(0, 99), st.integers(0, 99), st.integers(0, 99))
def test_a_duration_is_the_sum_of_its_parts(days: int, hours: int, minutes: int, seconds: int) -> None:
    text = f"{days}d{hours}h{minutes}m{seconds}s"
    assert parse_duration(text) == ((days * 24 + hours) * 60 + minutes) * 60 + seconds
