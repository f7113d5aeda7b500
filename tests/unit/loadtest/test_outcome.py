"""Aims met and missed, and which counts are faults."""

from collections import Counter

import pytest

from loadtest.outcome import Account, Measured, judge
from loadtest.roamed import Produced
from loadtest.sample import Load
from loadtest.scenario import Aims
from loadtest.tally import Findings
from tests.unit.loadtest.outcomes import TEXT, outcome, point, roamed, scenario

QUIET = TEXT.replace("kills: [{at: 3, what: edge, pod: 1, back: 1}]", "")


def test_a_lost_and_a_repeated_event_of_two_clients_do_not_cancel_out() -> None:
    assert Account.of([10, 10, 10], [9, 12, 10]) == Account(clients=3, due=30, lost=1, repeated=2)


def test_aims_are_met_or_missed() -> None:
    judged = judge(Aims(deliveries_per_second=5_000, p99_ms=5), outcome().reached())
    assert [(one.what, str(one.aim), one.met) for one in judged] == [
        ("deliveries", ">= 5,000 deliveries/s", True),
        ("latency, p99", "<= 5 ms", False),
        ("events lost", "<= 0 events", True),
        ("events duplicated", "<= 0 events", True),
    ]


def test_what_could_not_be_measured_is_not_met() -> None:
    (judged,) = judge(Aims(p50_ms=5, lost=None, duplicated=None), {"p50_ms": None})
    assert not judged.met


def test_a_good_run_has_no_fault_and_no_note() -> None:
    assert (outcome().faults(), outcome().notes()) == ([], [])


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"account": Account(100, 50_000, 3, 0)}, "3 events lost"),
        ({"account": Account(100, 50_000, 0, 4)}, "4 events duplicated"),
        ({"done": roamed(inspected=Findings(missing=5))}, "5 events lost"),
        ({"done": roamed(inspected=Findings(duplicated=6))}, "6 events duplicated"),
        ({"done": roamed(inspected=Findings(disordered=7))}, "7 events out of order"),
        ({"produced": Produced(sent=502, acked=500)}, "2 events not acknowledged"),
        ({"stored": 501}, "1 events stored that were not acknowledged, or twice"),
        ({"stored": 499}, "1 acknowledged events not stored"),
        ({"missing_clients": 8}, "8 clients without a stream at the end"),
    ],
)
def test_a_broken_promise_is_a_fault_also_where_servers_are_killed(changes: dict[str, object], fault: str) -> None:
    assert outcome(**changes).faults() == [fault]


def test_holes_are_no_loss_where_a_stream_has_only_some_topics() -> None:
    some = scenario(TEXT + "topics: {count: 4, each: own}")
    assert outcome(scenario=some, done=roamed(inspected=Findings(missing=5))).faults() == []


def test_refusals_ends_and_gaps_are_faults_where_nothing_was_killed() -> None:
    done = roamed(failed=Counter({"503": 2}), ended=Counter({"end": 3}), inspected=Findings(gaps=4))
    assert outcome(done=done).faults() == []
    assert outcome(done=done).notes() == ["4 `stream.gap` frames told of events that may be missing."]
    assert outcome(done=done, scenario=scenario(QUIET), marks=[]).faults() == [
        "2 streams refused",
        "4 gap frames",
        "3 streams ended by the edge",
    ]


def test_slow_readers_may_be_ended_and_are_told() -> None:
    slow = outcome(scenario=scenario(QUIET + "slow: {share: 0.1}"), done=roamed(ended=Counter({"end": 3})), marks=[])
    assert slow.faults() == []
    (note,) = slow.notes()
    assert note.startswith("10 slow readers are not in the account: they are behind by design")


def test_a_rate_that_was_not_offered_is_told() -> None:
    (note,) = outcome(measured=Measured(3.0, 11.0, 40.0, 4_000.0, roamed())).notes()
    assert note.startswith("The producer reached 80% of its rate")


def test_pods_that_had_to_wait_for_their_core_are_told() -> None:
    waiting = [Load(0.5, 0.2, 1), None]
    busy = outcome(samples=[point(3.0), point(4.0, pods=waiting), point(5.0, pods=waiting)])
    assert busy.waited() == 0.2
    (note,) = busy.notes()
    assert note.startswith("A pod was ready to run and had to wait for its core 20% of the time")
