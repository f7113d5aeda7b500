"""What a ring holds, what it lets go first, and what it knows of its edge. See also tests/property/test_ring.py."""

import sys

import pytest

from slipstream.log.ring import Limits, Ring
from slipstream.protocol.event import Record

PLENTY = Limits(events=1000, size=1 << 20, age_ms=120_000)
EMPTY_SIZE = Record(1, 0, "t", "", b"").size


def record(seq: int, time_ms: int = 0, data: bytes = b"") -> Record:
    return Record(seq, time_ms, "t", "", data)


def filled(limits: Limits, *seqs: int) -> Ring:
    ring = Ring(limits, seqs[0] - 1 if seqs else 0)
    for seq in seqs:
        ring.append(record(seq, time_ms=seq * 10))
    return ring


def seqs_after(ring: Ring, cursor: int) -> list[int]:
    return [one.seq for one in ring.after(cursor)]


def test_an_empty_ring_stands_at_its_base_and_covers_what_is_to_come() -> None:
    ring = Ring(PLENTY, 41, 900)
    assert (len(ring), ring.size, ring.base, ring.last, ring.last_time_ms) == (0, 0, 41, 41, 900)
    assert ring.covers(41)
    assert not ring.covers(40)
    assert seqs_after(ring, 41) == []
    assert ring.time_of(41) == 900
    assert ring.time_of(40) is None


def test_after_gives_what_follows_and_nothing_else() -> None:
    ring = filled(PLENTY, 5, 6, 7)
    assert [seqs_after(ring, cursor) for cursor in (4, 5, 6, 7)] == [[5, 6, 7], [6, 7], [7], []]


def test_between_gives_what_lies_there_as_far_as_it_is_here() -> None:
    ring = filled(PLENTY._replace(events=4), 2, 4, 6, 8, 10, 12)
    found = {ends: [one.seq for one in ring.between(*ends)] for ends in ((0, 7), (6, 10), (5, 9), (8, 8), (12, 20))}
    assert found == {(0, 7): [6], (6, 10): [8, 10], (5, 9): [6, 8], (8, 8): [], (12, 20): []}


def test_it_knows_when_each_event_was_stored_that_it_has_and_of_no_other() -> None:
    ring = filled(PLENTY._replace(events=3), 3, 5, 7, 9)
    known = {seq: ring.time_of(seq) for seq in range(2, 11)}
    assert {seq: time for seq, time in known.items() if time is not None} == {3: 30, 5: 50, 7: 70, 9: 90}


@pytest.mark.parametrize("seq", [7, 6, 1, 0])
def test_a_sequence_that_does_not_rise_is_refused_and_changes_nothing(seq: int) -> None:
    ring = filled(PLENTY, 6, 7)
    with pytest.raises(ValueError, match=f"record {seq} does not follow 7"):
        ring.append(record(seq))
    assert seqs_after(ring, 5) == [6, 7]
    assert ring.last == 7


def test_a_ring_without_a_record_refuses_its_own_base_too() -> None:
    with pytest.raises(ValueError, match="does not follow 3"):
        Ring(PLENTY, 3).append(record(3))


def test_it_holds_as_many_events_as_it_may_and_drops_the_oldest() -> None:
    ring = filled(PLENTY._replace(events=2), 1, 2, 3)
    assert (len(ring), ring.base, ring.base_time_ms) == (2, 1, 10)
    assert seqs_after(ring, ring.base) == [2, 3]
    assert ring.time_of(1) == 10, "who stands at the edge can still be checked"
    assert not ring.covers(0)


def test_it_holds_as_many_bytes_as_it_may() -> None:
    ring = filled(PLENTY._replace(size=2 * EMPTY_SIZE), 1, 2)
    assert len(ring) == 2
    ring.append(record(3))
    assert seqs_after(ring, ring.base) == [2, 3]
    assert ring.size == 2 * EMPTY_SIZE


def test_an_event_larger_than_the_ring_passes_through_it() -> None:
    ring = filled(PLENTY._replace(size=2 * EMPTY_SIZE), 1, 2)
    ring.append(record(3, time_ms=77, data=b"x" * 1000))
    assert (len(ring), ring.size, ring.base, ring.last) == (0, 0, 3, 3)
    assert (ring.base_time_ms, ring.last_time_ms, ring.time_of(3)) == (77, 77, 77)
    ring.append(record(4))
    assert seqs_after(ring, 3) == [4]


def test_what_is_older_than_the_limit_goes_and_what_is_as_old_stays() -> None:
    ring = filled(PLENTY._replace(age_ms=20), 1, 2, 3)
    assert seqs_after(ring, ring.base) == [1, 2, 3]
    ring.append(record(4, time_ms=41))
    assert seqs_after(ring, ring.base) == [3, 4]
    ring.expire(1000)
    assert (len(ring), ring.base, ring.last) == (0, 4, 4)


def test_trim_frees_at_least_what_is_asked_for_and_no_event_more() -> None:
    ring = filled(PLENTY, 1, 2, 3, 4)
    assert ring.trim(0) == 0
    assert ring.trim(EMPTY_SIZE + 1) == 2 * EMPTY_SIZE
    assert (ring.base, ring.base_time_ms) == (2, 20)
    assert ring.trim(1 << 30) == 2 * EMPTY_SIZE
    assert (len(ring), ring.size, ring.base, ring.last) == (0, 0, 4, 4)
    assert ring.trim(1) == 0


def test_an_event_that_was_evicted_takes_no_memory_any_more() -> None:
    ring = Ring(PLENTY._replace(events=2), 0)
    data = b"x" * 100_000
    before = sys.getrefcount(data)
    for seq in range(1, 101):
        ring.append(Record(seq, 0, "t", "", data))
    assert sys.getrefcount(data) == before + 2, "only the two that the ring holds"


def test_the_places_of_evicted_events_are_given_back() -> None:
    ring = filled(PLENTY._replace(events=10), *range(1, 5001))
    assert len(ring) == 10
    assert sys.getsizeof(ring._records) < sys.getsizeof([None] * 2000)
