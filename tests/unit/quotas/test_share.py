"""One process's share, step by step; tests/property has the interleavings."""

import pytest

from slipstream.quotas.lease import Members
from slipstream.quotas.share import BLOCK, FULL_SECONDS, Admitted, AskFor, Refused, Share, Write

NOW = 1000.0


def members(*alive: str) -> Members:
    one = Members(10)
    one.loaded = True
    one.read(1000, 0)
    for process in alive:
        one.heard(process, 0, 0.0)
    return one


def admitted(share: Share, count: int, now: float = NOW) -> None:
    for _ in range(count):
        assert isinstance(share.admit(now, holds=True), Admitted)


def asks(share: Share, now: float = NOW, *, holds: bool = True) -> bool:
    # Not by ==: tuples of two kinds are equal when their values are.
    return isinstance(share.admit(now, holds=holds), AskFor)


def refuses(share: Share, now: float) -> float | None:
    answer = share.admit(now, holds=True)
    return answer.retry_after if isinstance(answer, Refused) else None


def granted(limit: int, mine: int, **others: int) -> Share:
    share = Share("me", limit)
    share.seen({"me": mine, **others}, 1)
    return share


def test_grants_come_in_blocks_and_cost_a_message_a_block() -> None:
    share = Share("me", 1000)
    assert asks(share)
    write = share.plan(1, members("me", "b"), NOW)
    assert write == Write({"me": BLOCK}, 0, 0)
    assert share.granted == 0, "not before it stands there"
    share.written(write, 7)
    admitted(share, BLOCK)
    assert asks(share)
    assert share.plan(20, members("me", "b"), NOW) == Write({"me": 3 * BLOCK}, 7, 0)


def test_near_the_limit_only_what_is_needed_is_taken() -> None:
    share = granted(100, 0, b=60)
    assert share.plan(3, members("me", "b"), NOW) == Write({"me": 3, "b": 60}, 1, 0)
    assert granted(100, 0, b=60).plan(80, members("me", "b"), NOW) == Write({"me": 40, "b": 60}, 1, 0)
    assert granted(100, 0, b=100).plan(1, members("me", "b"), NOW) is None


def test_without_a_lease_nobody_is_admitted_and_nothing_written() -> None:
    share = granted(100, 16)
    assert asks(share, holds=False)
    assert share.plan(40, members("me"), NOW, holds=False) is None


def test_a_full_quota_refuses_without_asking_until_a_second_later_or_there_is_room() -> None:
    share = granted(20, 0, b=20)
    assert share.full(NOW) == Refused(FULL_SECONDS)
    assert refuses(share, NOW + 0.25) == 0.75
    assert asks(share, NOW + 1)
    assert asks(share, NOW + 0.25, holds=False), "whoever may not know any more what the others have"
    share.full(NOW)
    share.seen({"c": 20}, 2)
    assert refuses(share, NOW + 0.25) == 0.75, "others, and as many"
    share.seen({"c": 19}, 3)
    assert asks(share)


def test_what_lies_idle_is_kept_given_back_when_wanted_and_tidied() -> None:
    share = granted(1000, 5 * BLOCK)
    admitted(share, 3)
    assert share.plan(0, members("me"), NOW) is None
    assert share.plan(0, members("me"), NOW, tidy=True) == Write({"me": BLOCK}, 1, 0)
    share = granted(1000, 5 * BLOCK)
    admitted(share, 3)
    share.wanted(NOW)
    assert share.plan(0, members("me"), NOW + 0.1) == Write({"me": 3}, 1, 0)
    assert share.granted == 3, "at once: the write may be there already"
    assert asks(share)


@pytest.mark.parametrize(("limit", "mine"), [(1000, 3), (100, 40)])
def test_who_asks_for_nothing_gets_nothing_and_keeps_the_last_that_there_was(limit: int, mine: int) -> None:
    share = granted(limit, mine, b=60)
    admitted(share, 3)
    assert share.plan(0, members("me", "b"), NOW) is None
    assert mine > 3 or share.plan(0, members("me", "b"), NOW, tidy=True) is None


def test_what_a_lost_write_did_is_not_known_until_a_later_revision_tells() -> None:
    share = granted(100, 16)
    share.wanted(NOW)
    assert share.plan(0, members("me"), NOW) == Write({}, 1, 0)
    share.seen({"me": 16}, 1)
    assert share.granted == 0, "the same revision tells nothing"
    share.seen({"me": 16, "b": 1}, 2)
    assert share.granted == 16
    share = Share("me", 100)
    assert share.plan(1, members("me"), NOW) is not None
    assert not share.empty, "it may be granted"


def test_a_lapsed_lease_takes_the_grant_until_it_is_written_anew() -> None:
    share = granted(100, 16, b=80)
    admitted(share, 10)
    share.lapsed()
    assert (share.granted, share.overshoot) == (0, 10)
    write = share.plan(0, members("me", "b"), NOW)
    assert write is not None
    share.lapsed()
    share.written(write, 2)
    assert share.granted == 0, "it was sent before the second time"
    again = share.plan(0, members("me", "b"), NOW)
    assert again is not None
    share.written(again, 3)
    assert (share.granted, share.overshoot) == (16, 0)


def test_grants_of_the_dead_go_when_room_is_needed_and_when_it_is_tidied() -> None:
    share = granted(20, 0, dead=20)
    assert share.plan(0, members("me"), NOW) is None
    assert share.plan(0, members("me"), NOW, tidy=True) == Write({}, 1, 0)
    assert granted(20, 0, dead=20).plan(5, members("me"), NOW) == Write({"me": 5}, 1, 0)
    assert granted(20, 0, dead=20).plan(5, members("me", "dead"), NOW) is None


def test_a_lower_limit_sends_nobody_away_and_admits_nobody() -> None:
    share = granted(100, 32, b=60)
    admitted(share, 20)
    share.limit = 50
    assert asks(share)
    write = share.plan(1, members("me", "b"), NOW)
    assert write == Write({"b": 60}, 1, 0)
    share.written(write, 2)
    assert (share.in_use, share.overshoot) == (20, 20)


def test_without_a_limit_it_counts_and_grants_go_back() -> None:
    share = Share("me", None)
    admitted(share, 100)
    assert (share.in_use, share.overshoot, share.plan(0, members("me"), NOW, tidy=True)) == (100, 0, None)
    assert not share.empty, "whoever is counted is remembered"
    share.limit = 200
    assert share.plan(0, members("me"), NOW) == Write({"me": 112}, 0, 0)
    share = granted(100, 16)
    share.limit = None
    assert share.plan(0, members("me"), NOW, tidy=True) == Write({}, 1, 0)
    share.seen({"b": 1}, 2)
    assert share.empty


def test_nothing_is_released_that_was_not_admitted() -> None:
    share = granted(10, 1)
    admitted(share, 1)
    share.release()
    with pytest.raises(ValueError, match="more than was admitted"):
        share.release()


def test_a_document_that_is_gone_begins_at_nothing() -> None:
    share = granted(10, 5)
    assert not share.empty
    share.gone()
    assert share.empty
    assert share.plan(2, members("me"), NOW) == Write({"me": 2}, 0, 0)
