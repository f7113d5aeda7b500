"""A tenant's stream on a real server: made, changed, recognized, and what the server then refuses."""

import asyncio
from typing import Any

import pytest

from slipstream.jetstream import stream as streams
from slipstream.jetstream.api import ApiError
from slipstream.jetstream.stream import CREATED_KEY, EPOCH_KEY, Shape
from slipstream.jetstream.subjects import stream_of
from slipstream.log.source import State
from slipstream.protocol.errors import Code, SlipstreamError
from tests.contract.pod import SHAPE, Pod, flights, until
from tests.servers import NatsServer

_GIB = 1024**3


async def config_of(pod: Pod, tenant: str) -> dict[str, Any]:
    return (await streams.find(pod.api, tenant)).config


async def test_it_is_made_as_the_contract_says(pod: Pod) -> None:
    made = await pod.ensure("acme", Shape(max_age=86_400.0, max_bytes=_GIB, replicas=1))
    assert made.state == State(made.state.epoch, 1, 0, None)
    config = await config_of(pod, "acme")
    expected = {
        "name": "SSE_acme",
        "subjects": ["sse.acme.>"],
        "storage": "file",
        "retention": "limits",
        "discard": "old",
        "max_age": 86_400_000_000_000,
        "max_bytes": _GIB,
        "max_msgs": -1,
        "max_msgs_per_subject": -1,
        "duplicate_window": 120_000_000_000,
        "allow_direct": True,
        "deny_delete": True,
        "deny_purge": True,
    }
    assert {key: config[key] for key in expected} == expected
    assert config["metadata"][EPOCH_KEY] == made.state.epoch
    assert config["metadata"][CREATED_KEY] == made.created
    assert len(made.state.epoch) == 8


async def test_a_second_time_changes_nothing(pod: Pod, tenant: str) -> None:
    await pod.publish(tenant, flights(3))
    before = await streams.find(pod.api, tenant)
    again = await pod.ensure(tenant)
    assert again.state == before.state
    assert await config_of(pod, tenant) == before.config


async def test_retention_is_changed_in_place(pod: Pod, tenant: str) -> None:
    await pod.publish(tenant, flights(3))
    before = await streams.find(pod.api, tenant)
    await pod.ensure(tenant, Shape(max_age=600.0, max_bytes=_GIB // 2, replicas=1))
    after = await streams.find(pod.api, tenant)
    assert (after.config["max_age"], after.config["max_bytes"]) == (600_000_000_000, _GIB // 2)
    assert after.state == before.state


async def test_what_somebody_changed_by_hand_is_put_right(pod: Pod, tenant: str) -> None:
    config = await config_of(pod, tenant)
    await pod.api.call(f"STREAM.UPDATE.{stream_of(tenant)}", {**config, "max_msgs_per_subject": 7, "max_msgs": 9})
    await pod.ensure(tenant)
    config = await config_of(pod, tenant)
    assert (config["max_msgs_per_subject"], config["max_msgs"]) == (-1, -1)


async def test_metadata_of_others_is_kept(pod: Pod, tenant: str) -> None:
    config = await config_of(pod, tenant)
    metadata = {key: value for key, value in config["metadata"].items() if not key.startswith("_nats.")}
    await pod.api.call(f"STREAM.UPDATE.{stream_of(tenant)}", {**config, "metadata": {**metadata, "team": "billing"}})
    await pod.ensure(tenant, SHAPE._replace(max_age=900.0))
    assert (await config_of(pod, tenant))["metadata"]["team"] == "billing"


async def test_those_who_make_it_at_once_agree(nats: NatsServer, pod: Pod) -> None:
    async with Pod(nats.url, "other") as other:
        for number in range(5):
            made = await asyncio.gather(*(one.ensure(f"race-{number}") for one in (pod, other, pod, other)))
            assert len({found.state.epoch for found in made}) == 1
            config = await config_of(pod, f"race-{number}")
            assert config["metadata"][EPOCH_KEY] == made[0].state.epoch


async def test_one_made_anew_has_another_epoch_and_a_restart_keeps_it(nats: NatsServer, pod: Pod, tenant: str) -> None:
    await pod.publish(tenant, flights(3))
    first = await streams.find(pod.api, tenant)
    await nats.kill()
    await nats.start()
    await until(lambda: pod.link.up, "the pod is back")
    assert (await streams.find(pod.api, tenant)).state == first.state
    assert await streams.remove(pod.api, tenant)
    assert not await streams.remove(pod.api, tenant)
    second = await pod.ensure(tenant)
    assert second.state.epoch != first.state.epoch


async def test_one_made_anew_with_the_old_metadata_has_another_epoch(pod: Pod, tenant: str) -> None:
    """As a backup of the configuration would make it."""
    old = await streams.find(pod.api, tenant)
    metadata = {key: old.config["metadata"][key] for key in (EPOCH_KEY, CREATED_KEY)}
    await streams.remove(pod.api, tenant)
    wanted = {**streams.desired(tenant, SHAPE), "metadata": metadata}
    await pod.api.call(f"STREAM.CREATE.{stream_of(tenant)}", wanted)
    found = await streams.find(pod.api, tenant)
    assert found.state.epoch != old.state.epoch
    assert (await pod.ensure(tenant)).state.epoch == found.state.epoch
    assert (await config_of(pod, tenant))["metadata"][CREATED_KEY] == found.created != old.created


async def test_a_mirror_keeps_the_epoch_and_the_numbers_of_its_origin(pod: Pod, tenant: str) -> None:
    await pod.publish(tenant, flights(5))
    origin = await streams.find(pod.api, tenant)
    mirror = {
        "name": f"{stream_of(tenant)}-mirror",
        "storage": "file",
        "mirror": {"name": stream_of(tenant)},
        "metadata": {key: origin.config["metadata"][key] for key in (EPOCH_KEY, CREATED_KEY)},
    }
    await pod.api.call(f"STREAM.CREATE.{mirror['name']}", mirror)
    found: list[streams.Found] = []

    async def caught_up() -> None:
        while not found or found[-1].state.last_seq < 5:
            found.append(streams.describe(await streams.info(pod.api, str(mirror["name"]))))

    await asyncio.wait_for(caught_up(), 10.0)
    assert found[-1].state == origin.state
    assert found[-1].created != origin.created


@pytest.mark.parametrize(
    ("request_", "body"),
    [("STREAM.MSG.DELETE", {"seq": 1}), ("STREAM.PURGE", {})],
)
async def test_the_server_makes_no_holes(pod: Pod, tenant: str, request_: str, body: dict[str, Any]) -> None:
    await pod.publish(tenant, flights(3))
    with pytest.raises(ApiError):
        await pod.api.call(f"{request_}.{stream_of(tenant)}", body)
    assert (await streams.find(pod.api, tenant)).state.first_seq == 1


@pytest.mark.parametrize("change", [{"deny_delete": False}, {"deny_purge": False}])
async def test_the_denials_cannot_be_taken_back(pod: Pod, tenant: str, change: dict[str, Any]) -> None:
    config = await config_of(pod, tenant)
    with pytest.raises(ApiError, match="deny"):
        await pod.api.call(f"STREAM.UPDATE.{stream_of(tenant)}", {**config, **change})


@pytest.mark.parametrize(
    "headers",
    [
        {"Nats-TTL": "1s"},
        {"Nats-Rollup": "sub"},
        {"Nats-Rollup": "all"},
        {"Nats-Incr": "+1"},
        {"Nats-Schedule": "@at 2099-01-01T00:00:00Z", "Nats-Schedule-Target": "sse.x.y"},
    ],
)
async def test_what_would_make_holes_is_refused_at_the_publish(pod: Pod, tenant: str, headers: dict[str, str]) -> None:
    answer = await pod.api.request(f"sse.{tenant}.a", b"1", headers)
    assert b'"error"' in answer, answer
    assert (await streams.find(pod.api, tenant)).state.last_seq == 0


async def test_more_than_the_store_holds_is_refused_with_the_way_out(pod: Pod) -> None:
    with pytest.raises(SlipstreamError) as refused:
        await pod.ensure("greedy", SHAPE._replace(max_bytes=65 * _GIB))
    assert refused.value.code is Code.UPSTREAM_UNAVAILABLE
    assert "10047" in refused.value.message
    assert "max_file_store" in refused.value.message
    with pytest.raises(SlipstreamError) as missing:
        await streams.find(pod.api, "greedy")
    assert missing.value.code is Code.NOT_FOUND


async def test_copies_on_one_server_are_refused_with_the_way_out(pod: Pod, tenant: str) -> None:
    for name in ("copied", tenant):
        with pytest.raises(SlipstreamError, match="on one server leave it out") as refused:
            await pod.ensure(name, SHAPE._replace(replicas=3))
        assert "10074" in refused.value.message
        assert "max_bytes" not in refused.value.message
        assert refused.value.retry_after is None


async def test_a_growth_that_does_not_fit_is_refused_and_changes_nothing(pod: Pod, tenant: str) -> None:
    with pytest.raises(SlipstreamError, match="max_file_store"):
        await pod.ensure(tenant, SHAPE._replace(max_bytes=65 * _GIB))
    assert (await config_of(pod, tenant))["max_bytes"] == SHAPE.max_bytes


async def test_a_subject_of_another_stream_is_refused(pod: Pod) -> None:
    await pod.api.call("STREAM.CREATE.squatter", {"name": "squatter", "subjects": ["sse.squat.>"]})
    with pytest.raises(SlipstreamError, match="10065") as refused:
        await pod.ensure("squat")
    assert "max_bytes" not in refused.value.message


async def test_an_aged_out_stream_keeps_its_place_over_a_restart(nats: NatsServer, pod: Pod, tenant: str) -> None:
    await pod.publish(tenant, flights(4))
    before = await streams.find(pod.api, tenant)
    # The shortest age that NATS takes; a tenant's document cannot ask for less than two minutes.
    await pod.ensure(tenant, SHAPE._replace(max_age=0.1))
    states: list[State] = []

    async def empty() -> None:
        while not states or states[-1].first_seq <= 4:
            states.append((await streams.find(pod.api, tenant)).state)

    await asyncio.wait_for(empty(), 10.0)
    assert states[-1] == State(before.state.epoch, 5, 4, before.state.last_time_ms)
    await nats.kill()
    await nats.start()
    await until(lambda: pod.link.up, "the pod is back")
    assert (await streams.find(pod.api, tenant)).state == states[-1]
    assert await pod.publish(tenant, flights(1)) == 5
