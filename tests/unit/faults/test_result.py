"""A history cut by steps says to which step a fault belongs, and makes up none of its own."""

import pytest

from tests.faults.plan import Step
from tests.faults.report import table
from tests.faults.result import Injection, Result, windows
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
