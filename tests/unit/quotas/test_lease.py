"""Who is alive, by the log's clock and by our own."""

from slipstream.quotas.lease import Lease, Members


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
    lease.drop()
    assert not lease.holds(121)


def test_a_process_is_gone_when_the_log_went_on_for_a_lease_without_it() -> None:
    members = Members(10)
    members.loaded = True
    for seq, (process, at) in enumerate([("a", 1_000), ("b", 9_000)], 1):
        members.read(seq, at)
        members.heard(process, at)
    assert members.living == 2
    members.read(3, 11_000)
    assert not members.lapsed("a", 3)
    members.read(4, 11_001)
    assert members.lapsed("a", 3)
    assert not members.lapsed("b", 3)
    assert members.lapsed("nobody", 3)
    assert members.living == 1


def test_nobody_is_gone_by_what_was_read_before_the_document_or_before_the_end() -> None:
    members = Members(10)
    members.read(5, 1_000)
    assert not members.lapsed("a", 5), "the log was not read to its end yet"
    members.loaded = True
    assert members.lapsed("a", 5)
    assert not members.lapsed("a", 6), "its sign of life may be between"
    members.clear()
    assert not members.lapsed("a", 0)


def test_who_says_goodbye_is_gone_at_once() -> None:
    members = Members(10)
    members.loaded = True
    members.read(1, 0)
    members.heard("a", 0)
    members.left("a")
    members.left("a")
    assert members.lapsed("a", 1)
    assert members.living == 1, "ourselves"
