"""A history cut by steps says to which step a fault belongs, and makes up none of its own."""

import pytest

from tests.faults.plan import Step
from tests.faults.report import lateness, table
from tests.faults.result import Injection, Result, far, windows
from tests.proof.checker import Delivery, Event, Gap, History, Log, Loss, Verdict, judge

EVENTS = {seq: Event("a.b", "n", str(seq)) for seq in range(1, 31)}
BOUNDS = [10, 10, 20]


def history(end: int | None = None) -> History:
    return History("reader", (">",), 0, [Delivery(f"k3m9x2ab-{seq}", "n", str(seq)) for seq in EVENTS], end)


def lost(one: History, log: Log) -> list[int]:
    return [judge(part, log).lost for part in windows(one, BOUNDS)]


def test_a_whole_history_is_whole_in_each_part() -> None:
    parts = windows(history(), BOUNDS)
    assert [len(part.items) for part in parts] == [10, 0, 10, 10]
    assert all(judge(part, Log(EVENTS)).clean for part in parts)


@pytest.mark.parametrize(("seq", "part"), [(1, 0), (10, 0), (11, 2), (20, 2), (21, 3)])
def test_a_loss_belongs_to_the_part_of_its_number(seq: int, part: int) -> None:
    one = history()
    del one.items[seq - 1]
    assert lost(one, Log(EVENTS)) == [int(number == part) for number in range(4)]


def test_a_gap_belongs_to_the_part_of_its_number() -> None:
    one = history()
    one.items[14] = Gap("k3m9x2ab-15", "undeliverable")
    told = [judge(part, Log(EVENTS, losses=[Loss("undeliverable", 15, 15)])).told for part in windows(one, BOUNDS)]
    assert told == [0, 0, 1, 0]


def test_a_late_start_and_an_early_end_hold_in_each_part() -> None:
    one = history(end=15)
    one.start, one.items = 5, one.items[5:15]
    assert lost(one, Log(EVENTS)) == [0, 0, 0, 0]


def injected(**changes: object) -> Injection:
    one = Injection(Step(0, ("edge-kill",)), 0.0)
    for name, value in changes.items():
        setattr(one, name, value)
    return one


def result(**changes: object) -> Result:
    one = Result(1, [injected()], Verdict(deliveries=1))
    for name, value in changes.items():
        setattr(one, name, value)
    return one


def test_a_clean_run_passes() -> None:
    assert result().passed
    assert table(result()).row_count == 2


@pytest.mark.parametrize(
    "broken",
    [
        {"verdict": Verdict()},
        {"verdict": Verdict(deliveries=1, lost=1)},
        {"verdict": Verdict(deliveries=1, duplicated=1)},
        {"verdict": Verdict(deliveries=1, out_of_order=1)},
        {"verdict": Verdict(deliveries=1, untold=1)},
        {"verdict": Verdict(deliveries=1, gaps=1)},
        {"verdict": Verdict(deliveries=1, corrupted=1)},
        {"verdict": Verdict(deliveries=1, foreign=1)},
        {"injections": [injected(violations=["it did not move"])]},
        {"broken": 1},
        {"problems": ["refused"]},
        {"missed": ["edge-kill"]},
    ],
    ids=str,
)
def test_whatever_is_broken_fails_the_run(broken: dict[str, object]) -> None:
    assert not result(**broken).passed


def cells(of: Result, name: str) -> list[str]:
    return [str(cell) for column in table(of).columns if str(column.header).startswith(name) for cell in column.cells]


def test_a_promise_stands_beside_what_was_measured() -> None:
    kept = result(injections=[injected(promised=2.0, client_pause=3.0, recovery=1.6, publisher_pause=0.1)])
    assert cells(kept, "recovery") == ["1.6", "1.6"]
    assert cells(kept, "promised") == ["2", ""]
    assert lateness(kept) == []


@pytest.mark.parametrize(
    ("slow", "who"), [({"recovery": 2.1, "why": "one"}, "one"), ({"publisher_pause": 2.1}, "a publisher 2.1 s")]
)
def test_a_missed_promise_is_told_and_fails_nothing(slow: dict[str, object], who: str) -> None:
    late = result(injections=[injected(promised=2.0), injected(promised=2.0, **slow)])
    assert cells(late, "recovery")[0] == "[yellow]LATE 2.1[/]"
    assert lateness(late) == [f"edge-kill was late: 2.1 s, promised were 2 s; {who}"]
    assert late.passed


def test_where_nothing_is_promised_nothing_is_late() -> None:
    free = result(injections=[injected(recovery=30.0)])
    assert cells(free, "promised") == ["", ""]
    assert lateness(free) == []


@pytest.mark.parametrize(("promised", "seconds"), [(1.0, 15.0), (2.0, 15.0), (10.0, 40.0)])
def test_far_is_four_times_and_never_less_than_an_election(promised: float, seconds: float) -> None:
    assert far(promised) == seconds


def test_the_parts_of_a_history_know_up_to_where_only_the_newest_are_owed() -> None:
    one = history()
    one.newest = 15
    one.items = one.items[14:]
    assert lost(one, Log(EVENTS)) == [0, 0, 0, 0]
    del one.items[0]
    assert lost(one, Log(EVENTS)) == [0, 0, 1, 0]
