"""Who is alive, by the log's clock and by our own."""

import pytest

from slipstream.quotas.lease import Lease, Members


def tell(members: Members, seq: int, process: str, at_ms: int, *, ours: bool = False) -> None:
    """A sign of life, read as it was stored; one of ours was sent in that moment, too."""
    members.read(seq, at_ms)
    members.heard(process, at_ms, at_ms / 1000)
    if ours:
        members.sent(at_ms / 1000)


def test_a_lease_counts_from_before_its_sign_was_sent_and_ends_early() -> None:
    lease = Lease(10)
    assert not lease.holds(0)
    assert lease.renewed(sent_at=100, now=103), "it had none before"
    assert lease.holds(108.9)
    assert not lease.holds(109)
    assert not lease.renewed(105, 106)
    assert lease.holds(113.9)
    assert not lease.renewed(101, 107), "an older sign that came late"
    assert lease.holds(113.9)
    assert lease.renewed(120, 121), "it was over in between"
    assert lease.renewed(125, 129), "over in the very moment in which it holds no more"
    lease.drop()
    assert not lease.holds(121)


def test_a_process_is_gone_when_the_log_went_on_for_a_lease_without_it() -> None:
    members = Members(10)
    members.loaded = True
    for seq, (process, at) in enumerate([("a", 1_000), ("b", 1_000), ("b", 5_000), ("b", 9_000)], 1):
        tell(members, seq, process, at, ours=process == "b")
    assert members.living == 2
    tell(members, 5, "b", 11_000, ours=True)
    assert not members.lapsed("a", 3)
    tell(members, 6, "b", 11_001, ours=True)
    assert members.lapsed("a", 3)
    assert not members.lapsed("b", 3)
    assert members.lapsed("nobody", 3)
    assert (members.living, members.names) == (1, frozenset("b"))
    members.read(7, 2_000)
    assert members.lapsed("a", 3), "a clock of the log that steps back wakes nobody"


def test_nobody_is_gone_by_the_clock_of_the_log_alone() -> None:
    members = Members(10)
    members.loaded = True
    tell(members, 1, "a", 1_000)
    tell(members, 2, "b", 1_000, ours=True)
    now = 1_000
    for seq in range(3, 9):
        # Two servers write by turns whose clocks are 4 s apart: 12 s forward in all, and no time has passed.
        now += 4_000 if seq % 2 else -4_000
        members.read(seq, now)
    assert members.names == {"a", "b"}
    members.heard("b", now, 11.1)
    members.sent(11.0)
    assert not members.lapsed("a", 2), "ours may have been sent just as it was in time"
    members.sent(11.1)
    assert members.lapsed("a", 2)


def test_a_sign_that_is_read_late_counts_from_then() -> None:
    members = Members(10)
    members.loaded = True
    members.read(1, 1_000)
    members.heard("a", 1_000, 8.0)
    for seq, at in enumerate([5_000, 9_000, 13_000, 17_000], 2):
        tell(members, seq, "b", at, ours=True)
    assert not members.lapsed("a", 1)
    tell(members, 6, "b", 18_001, ours=True)
    assert members.lapsed("a", 1)


@pytest.mark.parametrize("step_ms", [-3_600_000, -1, 5_001, 60_000])
def test_nobody_grows_older_while_nobody_can_write_or_as_the_clock_of_the_log_steps(step_ms: int) -> None:
    members = Members(10)
    members.loaded = True
    tell(members, 1, "a", 4_000_000)
    members.read(2, 4_003_000)
    members.sent(4_010.001)
    now = 4_003_000 + step_ms
    members.read(3, now)
    assert members.names == {"a"}
    for seq in (4, 5):
        now += 3_500
        members.read(seq, now)
        assert members.names == {"a"}
    members.read(6, now + 1)
    assert members.lapsed("a", 6), "3 s before it, and 7 s after it"


def test_of_those_that_went_without_a_word_nothing_stays() -> None:
    members = Members(10)
    for number in range(1_000):
        tell(members, number, f"p{number}", number * 5_000, ours=True)
    assert len(members._heard) < 20


def test_nobody_is_gone_by_what_was_read_before_the_document_or_before_the_end() -> None:
    members = Members(10)
    members.read(5, 1_000)
    assert not members.lapsed("a", 5), "the log was not read to its end yet"
    members.loaded = True
    assert members.lapsed("a", 5)
    assert not members.lapsed("a", 6), "its sign of life may be between"
    members.clear()
    assert not members.lapsed("a", 0)


def test_of_a_log_that_is_read_anew_nothing_older_counts() -> None:
    members = Members(10)
    members.loaded = True
    members.read(5, 90_000)
    members.heard("a", 90_000, 90.0)
    members.clear()
    members.loaded = True
    assert members.names == set(), "it was heard in the other one"
    assert not members.lapsed("b", 1), "what stands there was not read yet"
    members.read(1, 1_000)
    members.heard("b", 1_000, 1.0)
    assert members.names == {"b"}, "by the clock of this one"


def test_who_says_goodbye_is_gone_at_once() -> None:
    members = Members(10)
    members.loaded = True
    members.read(1, 0)
    members.heard("a", 0, 0.0)
    members.left("a")
    members.left("a")
    assert members.lapsed("a", 1)
    assert members.living == 1, "ourselves"
