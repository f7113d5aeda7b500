"""The ring against a list that is cut anew each time."""

from collections.abc import Iterator
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slipstream.log import ring as module
from slipstream.log.ring import Limits, Ring
from slipstream.protocol.event import Record

FEW = settings(derandomize=True, deadline=None, max_examples=200, database=None)

appends = st.tuples(st.just("append"), st.integers(1, 3), st.integers(-5, 20), st.integers(0, 60))
trims = st.tuples(st.just("trim"), st.integers(0, 2000), st.just(0), st.just(0))
expiries = st.tuples(st.just("expire"), st.integers(-10, 60), st.just(0), st.just(0))
steps = st.lists(st.one_of(appends, appends, appends, trims, expiries), max_size=40)
limits = st.builds(Limits, events=st.integers(1, 8), size=st.integers(250, 3000), age_ms=st.integers(0, 60))


@pytest.fixture(autouse=True)
def small() -> Iterator[None]:
    """Evicted places are freed after a few, so that it happens within a few events."""
    with mock.patch.object(module, "_COMPACT_AT", 3):
        yield


class Model:
    """What the docstrings say, without thrift."""

    def __init__(self, bounds: Limits, base: int, base_time_ms: int | None) -> None:
        self.bounds = bounds
        self.kept: list[Record] = []
        self.times = {base: base_time_ms}
        self.base = self.last = base

    def append(self, record: Record) -> None:
        self.kept.append(record)
        self.times[record.seq] = record.time_ms
        self.last = record.seq
        while len(self.kept) > self.bounds.events or sum(one.size for one in self.kept) > self.bounds.size:
            self.evict()
        self.expire(record.time_ms)

    def expire(self, now: int) -> None:
        while self.kept and self.kept[0].time_ms < now - self.bounds.age_ms:
            self.evict()

    def trim(self, size: int) -> int:
        freed = 0
        while self.kept and freed < size:
            freed += self.evict()
        return freed

    def evict(self) -> int:
        record = self.kept.pop(0)
        self.base = record.seq
        return record.size


@FEW
@given(limits, st.integers(0, 5), st.none() | st.integers(0, 5), steps)
def test_the_ring_is_the_list(
    bounds: Limits, base: int, base_time: int | None, script: list[tuple[str, int, int, int]]
) -> None:
    ring, model = Ring(bounds, base, base_time), Model(bounds, base, base_time)
    now = 100
    for name, number, later, size in script:
        if name == "append":
            now += later
            record = Record(ring.last + number, now, "topic", "", b"x" * size)
            ring.append(record)
            model.append(record)
        elif name == "trim":
            assert ring.trim(number) == model.trim(number)
        else:
            ring.expire(now + number)
            model.expire(now + number)
        compare(ring, model)


def compare(ring: Ring, model: Model) -> None:
    assert (len(ring), ring.base, ring.last) == (len(model.kept), model.base, model.last)
    assert ring.size == sum(one.size for one in model.kept)
    assert (ring.base_time_ms, ring.last_time_ms) == (model.times[model.base], model.times[model.last])
    for cursor in range(model.base, model.last + 2):
        assert ring.covers(cursor)
        assert list(ring.after(cursor)) == [one for one in model.kept if one.seq > cursor]
    known = {model.base: model.times[model.base], **{one.seq: one.time_ms for one in model.kept}}
    for seq in range(model.last + 2):
        assert ring.covers(seq) == (seq >= model.base)
        assert ring.time_of(seq) == known.get(seq)
