"""What a STREAM.INFO says: times, epoch, state."""

import re
from typing import Any

import pytest

from slipstream.jetstream.stream import (
    CREATED_KEY,
    EPOCH_KEY,
    Shape,
    derive_epoch,
    describe,
    desired,
    epoch_of,
    leads,
    parse_time_ms,
)
from slipstream.log.source import State
from slipstream.protocol.timestamp import rfc3339

CREATED = "2026-11-23T10:00:00.123456789Z"
BEGIN = 1_763_892_000_000


def info(*, metadata: dict[str, str] | None = None, mirror: bool = False, **state: Any) -> dict[str, Any]:
    """An answer as nats-server 2.15.1 gives it, in the parts that count."""
    config: dict[str, Any] = {"name": "SSE_acme", "subjects": ["sse.acme.>"]}
    if metadata is not None:
        config["metadata"] = metadata
    if mirror:
        config["mirror"] = {"name": "SSE_acme"}
    return {
        "created": CREATED,
        "config": config,
        "state": {
            "messages": 0,
            "first_seq": 0,
            "last_seq": 0,
            "first_ts": "0001-01-01T00:00:00Z",
            "last_ts": "0001-01-01T00:00:00Z",
            **state,
        },
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T00:00:01.5Z", 1500),
        ("2025-11-23T10:00:00Z", BEGIN),
        ("2025-11-23T10:00:00.1Z", BEGIN + 100),
        ("2025-11-23T10:00:00.12Z", BEGIN + 120),
        ("2025-11-23T10:00:00.001Z", BEGIN + 1),
        ("2025-11-23T10:00:00.0009Z", BEGIN),
        ("2025-11-23T10:00:00.000999999Z", BEGIN),
        ("2025-11-23T10:00:00.999999999Z", BEGIN + 999),
        ("2025-11-23T12:00:00+02:00", BEGIN),
        ("2025-11-23T04:30:00.25-05:30", BEGIN + 250),
        ("1969-12-31T23:59:59.999Z", -1),
        ("9999-12-31T23:59:59.999999999Z", 253_402_300_799_999),
        ("0001-01-01T00:00:00Z", None),
    ],
)
def test_a_time_in_milliseconds(text: str, expected: int | None) -> None:
    assert parse_time_ms(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "2025-11-23",
        "2025-11-23T10:00:00",
        "2025-11-23 10:00:00Z",
        "2025-11-23T10:00:00.Z",
        "2025-11-23T10:00:00.1234567890Z",
        "2025-11-23T10:00:00Z\n",
        "2025-13-01T00:00:00Z",
        "2025-02-30T00:00:00Z",
        "2025-11-23T25:00:00Z",
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse_time_ms(text)


@pytest.mark.parametrize("time_ms", [0, 1, 999, 1000, BEGIN, BEGIN + 7, 1_732_000_000_123, 4_102_444_800_001])
def test_a_time_that_is_written_is_read_as_the_same(time_ms: int) -> None:
    assert parse_time_ms(rfc3339(time_ms)) == time_ms


def test_an_epoch_is_eight_characters_that_all_pods_derive_alike() -> None:
    epochs = {derive_epoch("SSE_acme", f"2026-11-23T10:00:00.{n:09}Z") for n in range(300)}
    assert len(epochs) == 300
    assert all(re.fullmatch("[a-z0-9]{8}", epoch) for epoch in epochs)
    assert derive_epoch("SSE_acme", CREATED) == derive_epoch("SSE_acme", CREATED)
    assert derive_epoch("SSE_acme", CREATED) != derive_epoch("SSE_other", CREATED)
    # Written down: ids that clients hold must not change with a release.
    assert derive_epoch("SSE_acme", CREATED) == "mzy3mqor"


DERIVED = derive_epoch("SSE_acme", CREATED)


@pytest.mark.parametrize(
    ("metadata", "kind", "expected"),
    [
        (None, "origin", DERIVED),
        ({}, "origin", DERIVED),
        ({EPOCH_KEY: "recorded", CREATED_KEY: CREATED}, "origin", "recorded"),
        # Made anew from a configuration that was kept: another log.
        ({EPOCH_KEY: "recorded", CREATED_KEY: "2026-11-22T10:00:00Z"}, "origin", DERIVED),
        ({EPOCH_KEY: "recorded"}, "origin", DERIVED),
        # A mirror has its own creation time and its origin's sequences.
        ({EPOCH_KEY: "recorded", CREATED_KEY: "2026-11-22T10:00:00Z"}, "mirror", "recorded"),
        ({EPOCH_KEY: "recorded"}, "mirror", "recorded"),
        ({}, "mirror", DERIVED),
        # What is no epoch was not written by us.
        ({EPOCH_KEY: "REC", CREATED_KEY: CREATED}, "origin", DERIVED),
        ({EPOCH_KEY: "recorded9", CREATED_KEY: CREATED}, "origin", DERIVED),
        ({EPOCH_KEY: "", CREATED_KEY: CREATED}, "mirror", DERIVED),
    ],
)
def test_the_epoch_of_a_stream(metadata: dict[str, str] | None, kind: str, expected: str) -> None:
    assert epoch_of(info(metadata=metadata, mirror=kind == "mirror")) == expected


def test_a_new_stream() -> None:
    assert describe(info()).state == State(DERIVED, 1, 0, None)


def test_a_stream_with_events() -> None:
    found = describe(info(messages=3, first_seq=5, last_seq=7, last_ts="2025-11-23T10:00:00.0429Z"))
    assert found.state == State(DERIVED, 5, 7, BEGIN + 42)
    assert found.created == CREATED
    assert found.config["name"] == "SSE_acme"


def test_a_stream_whose_events_have_all_aged_out_keeps_its_last_sequence_and_time() -> None:
    """As 2.15.1 says it: first_seq 4, last_seq 3, and last_ts kept (measured)."""
    aged = info(messages=0, first_seq=4, last_seq=3, last_ts="2025-11-23T10:00:00Z")
    assert describe(aged).state == State(DERIVED, 4, 3, BEGIN)


def test_the_time_of_an_empty_stream_may_be_unknown() -> None:
    assert describe(info(messages=0, first_seq=4, last_seq=3)).state == State(DERIVED, 4, 3, None)


def test_a_tenants_stream_makes_no_hole_that_a_client_cannot_see() -> None:
    wanted = desired("acme", Shape(max_age=60.5, max_bytes=1000, replicas=3))
    assert wanted["subjects"] == ["sse.acme.>"]
    assert (wanted["max_age"], wanted["max_bytes"], wanted["num_replicas"]) == (60_500_000_000, 1000, 3)
    assert wanted["discard"] == "old"
    assert wanted["deny_delete"]
    assert wanted["deny_purge"]
    assert wanted["max_msgs"] == wanted["max_msgs_per_subject"] == -1
    assert not wanted.keys() & {"allow_rollup_hdrs", "allow_msg_ttl", "allow_msg_counter", "subject_delete_marker_ttl"}


@pytest.mark.parametrize(("max_age", "window"), [(86_400.0, 120), (60.0, 60)])
def test_the_window_of_de_duplication_is_no_longer_than_the_retention(max_age: float, window: int) -> None:
    shape = Shape(max_age=max_age, max_bytes=1000, replicas=1)
    assert desired("acme", shape)["duplicate_window"] == window * 1_000_000_000


@pytest.mark.parametrize(
    ("replicas", "believed"),
    [
        (None, True),
        ([], True),
        ([0.4, 0.9], True),
        ([0.4, 60.0], True),
        ([2.9, 60.0], True),
        ([3.1, 3.1], False),
        ([60.0, 60.0], False),
        ([0.1, 0.1, 60.0, 60.0], True),
        ([0.1, 60.0, 60.0, 60.0], False),
        ([60.0], False),
    ],
)
def test_a_leader_is_believed_while_a_majority_speaks_to_it(replicas: list[float] | None, *, believed: bool) -> None:
    answer = info()
    if replicas is not None:
        heard = [{"active": int(each * 1e9), "current": True} for each in replicas]
        answer["cluster"] = {"leader": "a", "replicas": heard}
    assert leads(answer) is believed


def test_replicas_that_were_never_heard_are_no_majority() -> None:
    never = {"active": 0, "current": False}
    assert not leads(info() | {"cluster": {"leader": "a", "replicas": [never, never]}})
    assert leads(info() | {"cluster": {"leader": "a", "replicas": [never, {"active": 5, "current": False}]}})


def test_who_names_no_leader_is_none() -> None:
    replicas = [{"active": 800_000_000, "current": True}] * 2
    assert not leads(info() | {"cluster": {"replicas": replicas}})
