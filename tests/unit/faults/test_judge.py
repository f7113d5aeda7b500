"""The judge of chaos must see every broken promise: each is planted into a history that is otherwise perfect.

`tests/unit/proof` plants them into a log that nobody broke; here the log is broken on purpose, and what is told of it
must be the truth, and the whole truth.
"""

import pytest

from tests.proof.checker import Delivery, Event, Gap, History, Log, Loss, Verdict, judge
from tests.proof.eras import Era, judge_eras

ALL = (">",)
OLD, NEW = "k3m9x2ab", "z8y7x6w5"
EVENTS = {seq: Event(f"flights.LAX.{'SFO' if seq % 2 else 'ATL'}", "moved", f'{{"n":{seq}}}') for seq in range(1, 41)}
OTHERS = {seq: Event("quakes.ci.minor", "quake", f'{{"m":{seq}}}') for seq in range(1, 41)}
POISON, EXPIRED = 20, 10
LOSSES = [Loss("undeliverable", POISON, POISON), Loss("expired", 1, EXPIRED)]


def delivery(seq: int, events: dict[int, Event] = EVENTS, epoch: str = OLD) -> Delivery:
    return Delivery(f"{epoch}-{seq}-1x", events[seq].name, events[seq].data)


def gap(seq: int, reason: str, epoch: str = OLD) -> Gap:
    return Gap(f"{epoch}-{seq}-1x", reason)


def log(**changes: object) -> Log:
    foreign = {(event.name, event.data) for event in OTHERS.values()}
    return Log(EVENTS, **{"losses": LOSSES, "foreign": foreign, **changes})  # type: ignore[arg-type]


def history(filters: tuple[str, ...] = ALL) -> History:
    """A reader who was there from the beginning, and was told the one event that cannot be delivered."""
    items = [delivery(seq) if seq != POISON else gap(seq, "undeliverable") for seq in EVENTS]
    return History("reader", filters, 0, list(items))


def away() -> History:
    """A reader who had three events, was away while ten expired, and was told."""
    one = history()
    one.items[3:EXPIRED] = [gap(EXPIRED, "expired")]
    return one


def counts(found: Verdict) -> dict[str, int]:
    names = ("lost", "duplicated", "out_of_order", "corrupted", "gaps", "untold", "foreign")
    return {name: getattr(found, name) for name in names if getattr(found, name)}


@pytest.mark.parametrize(("one", "told"), [(history(), 1), (away(), 2)], ids=["there", "away"])
def test_who_is_told_the_truth_is_clean(one: History, told: int) -> None:
    found = judge(one, log())
    assert found.clean
    assert counts(found) == {}
    assert found.told == told


def test_what_expired_may_also_have_been_had_before() -> None:
    assert judge(history(), log()).clean


@pytest.mark.parametrize("seq", [15, 39])
def test_a_loss_is_lost_beside_those_that_are_told(seq: int) -> None:
    one = away()
    one.items.remove(delivery(seq))
    assert counts(judge(one, log())) == {"lost": 1}


def test_a_duplicate_is_found_behind_a_gap() -> None:
    one = away()
    one.items.append(delivery(2))
    assert counts(judge(one, log())) == {"duplicated": 1}


def test_an_inversion_is_out_of_order() -> None:
    one = history()
    at = one.items.index(delivery(30))
    one.items[at], one.items[at + 1] = one.items[at + 1], one.items[at]
    assert counts(judge(one, log())) == {"out_of_order": 1}


def test_an_event_of_another_tenant_is_foreign_whatever_its_id_says() -> None:
    for id_ in (f"{OLD}-30-1x", f"{NEW}-30-1x", "5"):
        one = history()
        one.items[one.items.index(delivery(30))] = delivery(30, OTHERS)._replace(id=id_)
        assert counts(judge(one, log())) == {"lost": 1, "foreign": 1}


def test_a_changed_payload_is_corrupted() -> None:
    one = history()
    at = one.items.index(delivery(30))
    one.items[at] = delivery(30)._replace(data='{"n":31}')
    assert counts(judge(one, log())) == {"corrupted": 1}


def test_what_cannot_be_delivered_must_be_told() -> None:
    one = history()
    one.items.remove(gap(POISON, "undeliverable"))
    assert counts(judge(one, log())) == {"untold": 1}


def test_what_cannot_be_delivered_and_yet_is_is_corrupted() -> None:
    one = history()
    one.items[one.items.index(gap(POISON, "undeliverable"))] = delivery(POISON)._replace(data="caf\ufffd")
    assert counts(judge(one, log())) == {"corrupted": 1}


def test_what_cannot_be_delivered_and_comes_as_it_was_sent_is_corrupted() -> None:
    one = history()
    one.items[one.items.index(gap(POISON, "undeliverable"))] = delivery(POISON)
    assert counts(judge(one, log())) == {"corrupted": 1}


@pytest.mark.parametrize("to", [POISON, 25], ids=["told twice", "told late"])
def test_it_is_told_once_and_in_its_place(to: int) -> None:
    one = history()
    if to != POISON:
        one.items.remove(gap(POISON, "undeliverable"))
    one.items.insert(to, gap(POISON, "undeliverable"))
    assert counts(judge(one, log())) == {"gaps": 1}


def test_it_is_wrongly_told_to_those_whose_topic_it_has_not() -> None:
    one = History("reader", ("*.*.SFO",), 0, [delivery(seq) for seq in EVENTS if seq % 2])
    one.items.insert(POISON // 2, gap(POISON, "undeliverable"))
    assert counts(judge(one, log())) == {"gaps": 1}


def test_it_is_not_told_to_those_whose_topic_it_has_not() -> None:
    one = History("reader", ("*.*.SFO",), 0, [delivery(seq) for seq in EVENTS if seq % 2])
    assert judge(one, log()).clean


def test_what_expired_must_be_told() -> None:
    one = away()
    one.items.remove(gap(EXPIRED, "expired"))
    assert counts(judge(one, log())) == {"untold": EXPIRED - 3}


def test_a_gap_that_tells_less_than_was_lost_leaves_the_rest_untold() -> None:
    one = away()
    one.items[3] = gap(EXPIRED - 2, "expired")
    assert counts(judge(one, log())) == {"untold": 2}


def test_a_gap_that_tells_more_than_was_lost_is_wrong() -> None:
    one = away()
    one.items[3:5] = [gap(EXPIRED + 1, "expired")]
    assert counts(judge(one, log())) == {"gaps": 1}


@pytest.mark.parametrize(
    "wrong",
    [gap(25, "undeliverable"), gap(25, "expired"), gap(25, "reset"), gap(25, "reset", NEW), Gap("what", "expired")],
)
def test_a_gap_where_nothing_is_missing_is_wrong(wrong: Gap) -> None:
    one = history()
    one.items.insert(one.items.index(delivery(25)), wrong)
    assert counts(judge(one, log()))["gaps"] == 1


def test_a_true_gap_by_another_reason_is_wrong() -> None:
    one = history()
    one.items[one.items.index(gap(POISON, "undeliverable"))] = gap(POISON, "withheld")
    assert counts(judge(one, log())) == {"gaps": 1}


def test_what_nobody_acknowledged_may_come_or_not_but_once_and_as_it_was_sent() -> None:
    unsure = Event("flights.LAX.SFO", "moved", '{"n":"?"}')
    came = Delivery(f"{OLD}-41-1x", unsure.name, unsure.data)
    one = history()
    assert judge(one, log(unknown=[unsure])).clean
    one.items.append(came)
    assert judge(one, log(unknown=[unsure])).clean
    assert counts(judge(one, log())) == {"corrupted": 1}
    one.items[-1] = came._replace(name="other")
    assert counts(judge(one, log(unknown=[unsure]))) == {"corrupted": 1}
    one.items[-1:] = [came, came]
    assert counts(judge(one, log(unknown=[unsure]))) == {"duplicated": 1}


def test_what_nobody_acknowledged_is_the_same_event_for_all() -> None:
    first, second = (Event("flights.LAX.SFO", "moved", f'{{"n":"{name}"}}') for name in "ab")
    one, other = history(), history()
    one.items.append(Delivery(f"{OLD}-41-1x", "moved", first.data))
    other.items.append(Delivery(f"{OLD}-41-1x", "moved", second.data))
    shared = log(unknown=[first, second])
    assert judge(one, shared).clean
    assert counts(judge(other, shared)) == {"corrupted": 1}


# -- one log replaced by another --------------------------------------------------------------------------------------

AFTER = {seq: Event("quakes.nc.minor", "quake", f'{{"after":{seq}}}') for seq in range(1, 11)}
RECREATED = [Era(Log(EVENTS)), Era(Log(AFTER), ("reset",))]
KEPT = 30
REWRITTEN = {**{seq: event for seq, event in EVENTS.items() if seq <= KEPT}, 31: AFTER[1], 32: AFTER[2]}
TAIL_LOST = [Era(Log(EVENTS)), Era(Log(REWRITTEN), ("ahead", "rewritten"), KEPT + 1)]


def recreated() -> History:
    items = [delivery(seq) for seq in EVENTS]
    return History("reader", ALL, 0, [*items, gap(0, "reset", NEW), *(delivery(seq, AFTER, NEW) for seq in AFTER)])


def test_a_stream_made_anew_that_is_told_is_clean() -> None:
    found = judge_eras(recreated(), RECREATED)
    assert found.clean
    assert found.told == 1


def test_who_had_not_all_of_the_old_one_is_told_so_by_the_same_gap() -> None:
    one = recreated()
    del one.items[20:40]
    assert judge_eras(one, RECREATED).clean


def test_a_loss_in_the_middle_of_the_old_one_is_lost() -> None:
    one = recreated()
    del one.items[20]
    assert counts(judge_eras(one, RECREATED)) == {"lost": 1}


@pytest.mark.parametrize("at", [41, 50])
def test_a_loss_in_the_new_one_is_lost(at: int) -> None:
    one = recreated()
    del one.items[at]
    assert counts(judge_eras(one, RECREATED)) == {"lost": 1}


def test_a_stream_made_anew_that_is_not_told_is_untold() -> None:
    one = recreated()
    one.items.remove(gap(0, "reset", NEW))
    found = judge_eras(one, RECREATED)
    assert (found.untold, found.lost, found.corrupted) == (1, 10, 10)


def test_who_stays_silent_after_a_recreation_is_untold() -> None:
    one = recreated()
    del one.items[40:]
    assert counts(judge_eras(one, RECREATED)) == {"untold": 1, "lost": 10}


def test_a_reset_told_twice_is_wrong() -> None:
    one = recreated()
    one.items.append(gap(10, "reset", NEW))
    assert counts(judge_eras(one, RECREATED)) == {"gaps": 1}


def tail_lost(last: int = 40, goes_on: int = KEPT) -> History:
    items = [delivery(seq) for seq in EVENTS if seq <= last]
    rest = [delivery(seq, REWRITTEN) for seq in REWRITTEN if seq > goes_on]
    return History("reader", ALL, 0, [*items, gap(goes_on, "ahead"), *rest])


@pytest.mark.parametrize("last", [31, 40])
def test_a_lost_tail_that_is_told_is_clean(last: int) -> None:
    assert judge_eras(tail_lost(last), TAIL_LOST).clean


def test_going_on_behind_the_first_new_event_loses_it() -> None:
    one = tail_lost(goes_on=KEPT + 1)
    assert counts(judge_eras(one, TAIL_LOST)) == {"lost": 1}


def test_what_was_kept_is_lost_where_a_lost_tail_is_the_excuse() -> None:
    one = tail_lost()
    del one.items[25:KEPT]
    assert counts(judge_eras(one, TAIL_LOST)) == {"lost": KEPT - 25}


@pytest.mark.parametrize(("last", "lost"), [(KEPT, 0), (25, KEPT - 25), (0, KEPT)])
def test_a_lost_tail_is_wrongly_told_to_those_who_had_nothing_of_it(last: int, lost: int) -> None:
    found = judge_eras(tail_lost(last=last), TAIL_LOST)
    assert (found.gaps, found.lost, found.told) == (1, lost, 0)


def test_who_had_nothing_of_a_lost_tail_is_told_nothing() -> None:
    one = tail_lost(last=KEPT)
    one.items.remove(gap(KEPT, "ahead"))
    assert judge_eras(one, TAIL_LOST).clean
    del one.items[-1]
    assert counts(judge_eras(one, TAIL_LOST)) == {"lost": 1}


def test_a_lost_tail_is_told_of_the_same_log_and_a_reset_of_another() -> None:
    one, other = tail_lost(), recreated()
    one.items[40] = gap(KEPT, "ahead", NEW)
    other.items[40] = gap(0, "reset", OLD)
    found, reset = judge_eras(one, TAIL_LOST), judge_eras(other, RECREATED)
    assert (found.gaps, found.corrupted) == (1, len(one.items) - 41)
    assert (reset.gaps, reset.corrupted) == (1, len(AFTER))


def test_a_reset_told_of_the_old_log_alone_is_wrong() -> None:
    one = recreated()
    one.items[40:] = [gap(0, "reset", OLD)]
    assert counts(judge_eras(one, RECREATED)) == {"gaps": 1, "lost": len(AFTER)}


def test_a_reset_ahead_of_what_is_sent_all_the_same_is_out_of_order() -> None:
    one = recreated()
    one.items[40] = gap(3, "reset", NEW)
    assert counts(judge_eras(one, RECREATED)) == {"out_of_order": 3}


def test_the_mark_of_a_gap_is_that_of_the_event_in_its_place() -> None:
    one, lost = history(), tail_lost()
    one.items[19] = Gap(f"{OLD}-{POISON}-2y", "undeliverable")
    lost.items[40] = Gap(f"{OLD}-{KEPT}-2y", "ahead")
    shared = log()
    assert judge(history(), shared).clean
    assert counts(judge(one, shared)) == {"gaps": 1}
    assert counts(judge_eras(lost, TAIL_LOST)) == {"gaps": 1}


def test_a_gap_may_have_no_mark() -> None:
    one, lost = history(), tail_lost()
    one.items[19] = Gap(f"{OLD}-{POISON}", "undeliverable")
    lost.items[40] = Gap(f"{OLD}-{KEPT}", "ahead")
    shared = log()
    assert judge(history(), shared).clean
    assert judge(one, shared).clean
    assert judge_eras(lost, TAIL_LOST).clean


def test_a_lost_tail_that_is_not_told_is_untold() -> None:
    one = tail_lost()
    one.items.remove(gap(KEPT, "ahead"))
    found = judge_eras(one, TAIL_LOST)
    assert found.untold == 1
    assert not found.clean
