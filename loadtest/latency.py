"""A histogram of times that is small, can be added to and subtracted from, and answers percentiles."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from typing import Final, Self

_BITS: Final = 7
_STEPS: Final = 1 << (_BITS - 1)


class Histogram:
    """Counts of times in nanoseconds, in buckets no wider than 1/64 of their value (the idea of HdrHistogram).

    Memory is bounded by the range of the values, not by their number: 1 ns to 1 minute takes at most 2,000 buckets.
    """

    def __init__(self, buckets: Mapping[int, int] | None = None) -> None:
        self.buckets: Counter[int] = Counter(buckets or {})

    @classmethod
    def parse(cls, buckets: Mapping[str, int]) -> Self:
        """From its form in JSON, where the keys of an object are texts."""
        return cls({int(bucket): count for bucket, count in buckets.items()})

    def record(self, ns: int) -> None:
        """Count one time. Raises ValueError when it is negative: the clocks disagree, and nothing measured is true."""
        if ns < 0:
            raise ValueError(f"a time of {ns} ns: publisher and reader do not share a monotonic clock")
        shift = max(0, ns.bit_length() - _BITS)
        self.buckets[shift * _STEPS + (ns >> shift)] += 1

    @property
    def count(self) -> int:
        """How many times were recorded."""
        return self.buckets.total()

    def percentile(self, percent: float) -> float | None:
        """The nearest-rank percentile (0 < percent <= 100) in ns, off by at most 1/128; None of an empty histogram."""
        if not 0 < percent <= 100:
            raise ValueError(f"a percentile is above 0 and at most 100, not {percent}")
        rank = math.ceil(self.count * percent / 100)
        seen = 0
        for bucket in sorted(self.buckets):
            seen += self.buckets[bucket]
            if seen >= rank:
                return _middle(bucket)
        return None

    def items(self) -> list[tuple[float, int]]:
        """The times in ns, each the middle of its bucket, in ascending order, and how often each was recorded."""
        return [(_middle(bucket), self.buckets[bucket]) for bucket in sorted(self.buckets)]

    def __add__(self, other: Histogram) -> Histogram:
        return Histogram(self.buckets + other.buckets)

    def __sub__(self, earlier: Histogram) -> Histogram:
        """What was recorded since `earlier`, an older state of the same histogram."""
        return Histogram(self.buckets - earlier.buckets)


def _middle(bucket: int) -> float:
    """The middle of a bucket's values in ns."""
    if bucket < 2 * _STEPS:
        return float(bucket)
    shift = bucket // _STEPS - 1
    low = (bucket - shift * _STEPS) << shift
    return low + ((1 << shift) - 1) / 2
