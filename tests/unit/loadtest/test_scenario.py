"""Scenarios are read whole, and every fault is told at once with the path of its field."""

from pathlib import Path

import pytest

from loadtest.scenario import Kill, Scenario, ScenarioError, Size, load, names, parse

LEAST = "{description: x, connections: 10, rate: 5, seconds: 10}"


@pytest.mark.parametrize("name", names())
def test_a_shipped_scenario_can_be_run_and_aims_at_no_loss(name: str) -> None:
    scenario = load(name)
    assert (scenario.aims.lost, scenario.aims.duplicated) == (0, 0)


def test_the_scenarios_that_are_promised_are_there() -> None:
    assert {"smoke", "classic", "burst", "inboxes", "churn", "slow", "kills"} <= set(names())
    kills = load("kills")
    assert kills.pods == 3
    assert {kill.what for kill in kills.kills} == {"edge", "drain", "nats"}
    assert load("classic").aims.p99_ms == 180


def test_what_is_left_out_has_a_default() -> None:
    scenario = parse(LEAST, "least")
    assert (scenario.pods, scenario.topics.each, scenario.kills, scenario.slow_connections) == (1, "all", (), 0)


def test_one_size_is_a_list_of_one() -> None:
    assert parse(LEAST.replace("}", ", size: 300}"), "x").size == (Size(bytes=300),)


def test_settings_become_environment_variables() -> None:
    assert parse(LEAST.replace("}", ", settings: {drain: 5}}"), "x").environment == {"SLIPSTREAM_DRAIN": "5"}


def test_every_wrong_field_is_told_with_its_path() -> None:
    text = """
    description: x
    connections: 0
    rate: fast
    topics: {each: some}
    size: [{bytes: 100}]
    kills: [{at: 1, what: edge}, {at: 2, what: meteor}]
    colour: red
    """
    with pytest.raises(ScenarioError) as caught:
        parse(text, "wrong")
    told = [fault.partition(":")[0] for fault in caught.value.faults]
    assert sorted(told) == sorted(
        ["connections", "rate", "topics.each", "size.0.bytes", "kills.1.what", "colour", "seconds"]
    )
    assert str(caught.value).startswith("wrong is no scenario:\n  ")
    assert any(fault.endswith("(given: 'meteor')") for fault in caught.value.faults)


def test_every_contradiction_is_told_with_its_path() -> None:
    text = """
    {description: x, connections: 10, rate: 5, seconds: 10, settle: 12, pods: 2,
     topics: {count: 3, each: shared, subset: 4},
     kills: [{at: 4, what: edge, pod: 1, back: 3}, {at: 6, what: drain, pod: 1}, {at: 11, what: nats},
             {at: 1, what: edge, pod: 2}]}
    """
    with pytest.raises(ScenarioError) as caught:
        parse(text, "wrong")
    assert caught.value.faults == (
        "settle: 12 s leave nothing of 10 s to measure; lower it",
        "topics.subset: there are only 3 topics",
        "kills.3.pod: there is no pod 2: they are numbered 0 to 1",
        "kills.1.at: pod 1 is away already until 7 s",
        "kills.2.at: 11 s is after the end, 10 s",
    )


def test_victims_have_names() -> None:
    assert [Kill(at=1, what="drain", pod=2).victim, Kill(at=1, what="nats").victim] == ["pod 2", "nats-server"]


def test_a_misspelt_name_is_told_with_the_nearest() -> None:
    with pytest.raises(ScenarioError, match="did you mean classic"):
        load("clasic")


@pytest.mark.parametrize(
    ("text", "reason"), [("- a\n- b", "a scenario is a mapping"), ("{a", "no YAML"), ("", "a scenario is a mapping")]
)
def test_a_text_that_is_no_mapping_is_refused(text: str, reason: str) -> None:
    with pytest.raises(ScenarioError, match=reason):
        parse(text, "x")


def test_a_file_of_ones_own_is_read(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(LEAST)
    assert load(str(path)) == Scenario(description="x", connections=10, rate=5, seconds=10)
