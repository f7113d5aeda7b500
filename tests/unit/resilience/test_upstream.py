"""Probes convict, failures of others only accuse, and only an answered probe acquits."""

import pytest

from slipstream.resilience.upstream import ACCUSERS, MISSES, Upstream

_ACCUSERS = [f"the feed of SSE_{number}" for number in range(ACCUSERS)]


def missed(upstream: Upstream, now: float, *, silent: bool = True, reason: str = "no answer") -> bool:
    return upstream.missed(reason, now, 0.5, silent=silent)


def opened(now: float = 10.0) -> Upstream:
    upstream = Upstream(0.0)
    assert [missed(upstream, now) for _ in range(MISSES)] == [False] * (MISSES - 1) + [True]
    return upstream


def test_one_missed_probe_is_none() -> None:
    upstream = Upstream(0.0)
    assert upstream.reason == ""
    assert not missed(upstream, 1.0)
    assert not upstream.open
    assert not upstream.answered(2.0), "it was not open"
    assert not missed(upstream, 3.0), "they were not in a row"
    assert (upstream.state(3.0), upstream.changed_at, upstream.openings) == ("closed", 0.0, 0)


def test_missed_probes_open_it_and_an_answer_closes_it() -> None:
    upstream = opened(10.0)
    assert upstream.open
    assert (upstream.changed_at, upstream.openings, upstream.reason) == (10.0, 1, "no answer")
    assert upstream.answered(20.0)
    assert not upstream.open
    assert (upstream.state(20.0), upstream.changed_at, upstream.reason) == ("closed", 20.0, "")
    assert upstream.pause(20.0) == 0
    assert not missed(upstream, 21.0), "it begins anew"


def test_it_refuses_in_between_too() -> None:
    """A request is never the trial: half-open means that the next probe decides."""
    upstream = opened(10.0)
    assert (upstream.state(10.0), upstream.open) == ("open", True)
    later = 10.0 + upstream.pause(10.0)
    assert (upstream.state(later), upstream.open) == ("half-open", True)
    assert not missed(upstream, later, reason="still none"), "it was open"
    assert (upstream.changed_at, upstream.openings, upstream.reason) == (10.0, 1, "still none")


def test_pauses_grow_to_two_seconds() -> None:
    upstream, now, pauses = opened(10.0), 10.0, []
    for _ in range(6):
        pauses.append(upstream.pause(now))
        now += pauses[-1]
        missed(upstream, now)
    assert pauses == sorted(pauses)
    assert pauses[0] < 0.5
    assert pauses[-1] == pytest.approx(1.5), "two seconds, at a roll of a half"


def test_what_else_fails_makes_a_silent_probe_count_twice() -> None:
    upstream = Upstream(0.0)
    for accuser in _ACCUSERS:
        assert not upstream.accused
        upstream.suspect(accuser)
    assert upstream.accused
    assert not upstream.open, "nobody is convicted by accusers"
    assert missed(upstream, 1.0)
    assert upstream.openings == 1


def test_who_is_told_that_nobody_takes_it_waits_for_the_second() -> None:
    """So it is while a stream elects, and those who accuse may be told the same."""
    upstream = Upstream(0.0)
    for accuser in _ACCUSERS:
        upstream.suspect(accuser)
    assert not missed(upstream, 1.0, silent=False)
    assert missed(upstream, 2.0, silent=False)


def test_one_tenant_that_fails_for_ever_opens_nothing() -> None:
    upstream = Upstream(0.0)
    for _ in range(1000):
        upstream.suspect(_ACCUSERS[0])
    assert not upstream.accused
    assert not missed(upstream, 1.0)


def test_thousands_that_fail_take_no_more_memory_than_the_first_few() -> None:
    upstream = Upstream(0.0)
    for number in range(10_000):
        upstream.suspect(f"the feed of SSE_{number}")
    assert len(upstream._accusers) == ACCUSERS


def test_an_answer_forgets_the_accusers() -> None:
    upstream = Upstream(0.0)
    for accuser in _ACCUSERS:
        upstream.suspect(accuser)
    upstream.answered(1.0)
    assert not upstream.accused
    assert not missed(upstream, 2.0)
