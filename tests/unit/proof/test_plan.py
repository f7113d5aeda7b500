from collections import Counter
from functools import cache

from tests.proof import plan
from tests.proof.checker import matches

SIZE = plan.Size(seed=1, clients=200, span=60.0, passes=2)


@cache
def bursts() -> list[plan.Burst]:
    """Made by the first test that asks, not by whoever collects."""
    return plan.bursts(SIZE)


def test_every_demo_event_is_published_in_every_pass_under_an_id_of_its_own() -> None:
    items = [item for burst in bursts() for item in burst.items]
    assert len(items) == 2 * 6707
    assert len({(item.tenant, item.id) for item in items}) == len(items)
    assert Counter(item.tenant for item in items) == {"flights": 10_000, "quakes": 3414}


def test_bursts_fill_the_span_in_order() -> None:
    moments = [burst.at for burst in bursts()]
    assert moments == sorted(moments)
    assert moments[0] == 0.0
    assert 40.0 < moments[-1] <= 60.0


def test_the_same_seed_is_the_same_run_and_another_is_another() -> None:
    other = plan.Size(seed=2, clients=200, span=60.0, passes=2)
    assert plan.readers(SIZE) == plan.readers(SIZE) != plan.readers(other)
    assert plan.bursts(SIZE) == bursts() != plan.bursts(other)
    edges = ("a", "b")
    assert plan.faults(SIZE, edges, "nats") == plan.faults(SIZE, edges, "nats") != plan.faults(other, edges, "nats")


def test_readers_differ_in_start_and_filter_and_most_filters_match_something() -> None:
    readers = plan.readers(SIZE)
    assert {reader.since for reader in readers} == {"now", "earliest", "time"}
    assert {reader.early for reader in readers} == {True, False}
    assert not any(reader.early and reader.since == "time" for reader in readers)
    topics = {
        tenant: {item.event.topic for burst in bursts() for item in burst.items if item.tenant == tenant}
        for tenant in ("flights", "quakes")
    }
    dry = {
        reader.filters
        for reader in readers
        if not any(matches(reader.filters, topic) for topic in topics[reader.tenant])
    }
    assert dry == {("flights.NOWHERE.>",)}
    assert len({reader.filters for reader in readers}) >= 15
    assert {reader.slow for reader in readers} == {reader.browser for reader in readers} == {True, False}


def test_even_a_short_run_kills_everything() -> None:
    size = plan.Size.of(3, 10, 15.0)
    kills = Counter(fault.target for fault in plan.faults(size, ("a", "b"), "nats"))
    assert kills == {"a": 1, "b": 1, "nats": 1}
    assert plan.last_fault(size, "nats").target == "nats"
    assert size.passes == 1


def test_nats_dies_while_events_are_under_way_and_edges_drain_too() -> None:
    faults = plan.faults(SIZE, ("a", "b"), "nats")
    begins = [burst.at for burst in bursts()]
    for fault in faults:
        if fault.target == "nats":
            assert any(begin <= fault.at <= begin + 0.1 for begin in begins)
    assert {fault.target for fault in faults if fault.drain} == {"a", "b"}
