"""Medians of one run, ratios that say who is ahead, and aims that are not called reached without figures."""

from dataclasses import replace

import pytest

from loadtest.peers.compare import COMPARISONS, Comparison, Trial, losses, middle, names, of, ratio, verdicts

OURS = Trial("slipstream", "burst", 1e6, 1000, 1e6, p50=20, p99=40, cpu_us=0.4, all_cpu_us=0.5, memory=60e6)
NCHAN = Trial("nchan", "burst", 1e6, 90, 9e4, p50=10, p99=400, cpu_us=5.0, all_cpu_us=5.0, memory=20e6)
BROKEN = Trial("nchan", "burst", failure="it fell over")


def comparison(title: str) -> Comparison:
    return next(each for each in COMPARISONS if each.title == title)


def test_the_median_is_of_the_trials_that_ran() -> None:
    trials = [replace(OURS, p99=value) for value in (10.0, 90.0, 20.0)] + [replace(OURS, failure="gone")]
    assert middle(trials, lambda trial: trial.p99) == 20
    assert middle([BROKEN], lambda trial: trial.delivered) is None
    assert middle([replace(OURS, p99=None)], lambda trial: trial.p99) is None


@pytest.mark.parametrize(
    ("title", "times"),
    [
        ("deliveries/s", 1e6 / 9e4),
        ("latency p50", 0.5),
        ("latency p99", 10.0),
        ("CPU per delivery", 10.0),
        ("memory", 1 / 3),
    ],
)
def test_a_ratio_is_above_one_where_slipstream_is_ahead(title: str, times: float) -> None:
    assert ratio([OURS], [NCHAN], comparison(title)) == pytest.approx(times)


def test_there_is_no_ratio_to_what_did_not_run_or_delivered_nothing() -> None:
    assert ratio([OURS], [BROKEN], comparison("deliveries/s")) is None
    assert ratio([OURS], [replace(NCHAN, delivered=0.0)], comparison("deliveries/s")) is None


def test_every_loss_beyond_noise_is_told() -> None:
    told = losses([OURS, NCHAN, replace(NCHAN, peer="close", p50=19.5, memory=60e6)])
    assert told == ["nchan is ahead in latency p50: 2.00 times", "nchan is ahead in memory: 3.00 times"]


def test_trials_are_found_by_peer_in_the_order_of_their_turns() -> None:
    trials = [OURS, NCHAN, replace(OURS, p50=1.0)]
    assert names(trials) == ["slipstream", "nchan"]
    assert of(trials, "slipstream") == [trials[0], trials[2]]


def met(workload: str, trials: list[Trial]) -> list[bool | None]:
    return [verdict.met for verdict in verdicts(workload, trials, "c-send-loop")]


def test_burst_aims_at_a_rate_and_at_ten_times_nchan() -> None:
    assert met("burst", [OURS, NCHAN]) == [True, True]
    assert met("burst", [replace(OURS, delivered=899_999), NCHAN]) == [False, False]
    assert met("burst", [OURS, BROKEN]) == [True, None]


def test_classic_aims_at_a_latency_and_at_nchans() -> None:
    assert met("classic", [OURS, NCHAN]) == [True, True]
    assert met("classic", [replace(OURS, p99=181.0), replace(NCHAN, p99=180.0)]) == [False, False]
    assert met("classic", [OURS]) == [True, None]


def test_a_machine_with_other_work_tells_nothing_of_who_is_better() -> None:
    kept = replace(NCHAN, waited=0.11)
    assert met("burst", [OURS, kept]) == [True, None]
    assert met("classic", [OURS, kept, kept]) == [True, None]
    assert met("burst", [replace(OURS, waited=0.5), NCHAN]) == [True, True], "it would be further ahead without"
    assert verdicts("burst", [OURS, kept], "c-send-loop")[1].found == "11.1, but others had 11% of the core"


def test_single_aims_at_the_cost_of_a_send_loop() -> None:
    loop = Trial("c-send-loop", "single", cpu_us=0.25, all_cpu_us=0.25)
    assert met("single", [OURS, loop]) == [True]
    assert met("single", [replace(OURS, cpu_us=0.41), loop]) == [False]
    assert met("single", [OURS]) == [None]
