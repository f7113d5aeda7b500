"""One event, several looks: masked or not, in an envelope, with a key, signed, dropped by a hook; live and replayed."""

import asyncio
import itertools
import json
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from slipstream.app import Running
from slipstream.demo import flights
from slipstream.protocol.position import Position
from tests.integration.cluster import RINGS, Cluster
from tests.integration.wire import Stream, call, until
from tests.sse import Parsed

LOOPS = ("uvloop",)

FLIGHTS = list(itertools.islice(flights(), 60))
PHONE, ID_CARD, EMAIL = "13812341234", "110101199001011234", "ada@example.com"
HIDDEN = {"phone": "138****1234", "id_card": "110101********1234", "email": "a***@example.com"}
RULES = [
    {"field": "phone", "method": "phone"},
    {"field": "id_card", "method": "id_card"},
    {"field": "email", "method": "email"},
]
SEES = ("subscribe", "publish", "pii:read")


def passengers(number: int) -> dict[str, Any]:
    """A real flight with people on it: in an array, as a number, in JSON inside a string, with odd spellings."""
    return {
        **FLIGHTS[number]["data"],
        "Phone": PHONE,
        "crew": [{"phone": int(PHONE), "ID_Card": ID_CARD}, {"e-mail": EMAIL, "email": EMAIL}],
        "raw": json.dumps({"phone": PHONE, "seat": "3A"}),
    }


async def board(cluster: Cluster, count: int) -> list[bytes]:
    bodies = [json.dumps(passengers(number), separators=(",", ":")).encode() for number in range(count)]
    for number, body in enumerate(bodies):
        await cluster.put(FLIGHTS[number]["topic"], body, {"Sse-Event": FLIGHTS[number]["event"]})
    return bodies


def check_masked(data: str, number: int) -> None:
    assert PHONE not in data
    assert ID_CARD not in data
    assert EMAIL not in data
    found = json.loads(data)
    assert found["Phone"] == HIDDEN["phone"]
    assert found["crew"][0] == {"phone": HIDDEN["phone"], "ID_Card": HIDDEN["id_card"]}
    assert found["crew"][1] == {"e-mail": HIDDEN["email"], "email": HIDDEN["email"]}
    assert json.loads(found["raw"]) == {"phone": HIDDEN["phone"], "seat": "3A"}
    rest = {name: value for name, value in found.items() if name not in {"Phone", "crew", "raw"}}
    assert rest == FLIGHTS[number]["data"]


@RINGS
async def test_masked_and_unmasked_readers_side_by_side(cluster: Cluster, ring: dict[str, Any]) -> None:
    await cluster.apply(masking=RULES)
    async with AsyncExitStack() as stack:
        all_see = await stack.enter_async_context(cluster.edge(anonymous_scopes=SEES, **ring))
        nobody = await stack.enter_async_context(cluster.edge(**ring))
        live = [await cluster.opened(one.server.port) for one in (all_see, nobody)]
        bodies = await board(cluster, 8)
        again = [await cluster.opened(one.server.port, "since=earliest") for one in (all_see, nobody)]
        for clear, masked in (live, again):
            shown, hidden = await clear.published(8), await masked.published(8)
            assert [event.data.encode() for event in shown] == bodies, "not a byte is another one"
            for number, event in enumerate(hidden):
                check_masked(event.data, number)
            assert [event.id for event in shown] == [event.id for event in hidden]
        page = await poll(cluster, nobody, "since=earliest")
        for number, event in enumerate(page["events"]):
            check_masked(event["data"], number)
        assert [
            event["data"].encode() for event in (await poll(cluster, all_see, "since=earliest"))["events"]
        ] == bodies


async def poll(cluster: Cluster, running: Running, query: str) -> Any:
    answer = await call(running.server.port, cluster.target(query, "/v1/poll"))
    assert answer.status == 200, answer
    return answer.json


@RINGS
async def test_what_cannot_be_masked_is_withheld_told_and_counted(cluster: Cluster, ring: dict[str, Any]) -> None:
    await cluster.apply(masking=RULES)
    async with cluster.edge(**ring) as running:
        first = await cluster.opened(running.server.port)
        await cluster.put("a", b'{"phone": "13812341234"}')
        await cluster.put("a", b"call 13812341234")
        await cluster.put("a", b'{"b": 1}')
        second = await cluster.opened(running.server.port, "since=earliest")
        for stream in (first, second):
            shown, gap, plain = await stream.take(3)
            assert shown.data == '{"phone":"138****1234"}'
            assert (gap.event, Position.parse(gap.id).seq) == ("stream.gap", 2)
            told = json.loads(gap.data)
            assert (told["reason"], told["code"], told["certain"]) == ("withheld", "SSE_WITHHELD", True)
            assert "138" not in gap.data
            assert plain.data == '{"b": 1}', "what has nothing to hide stays as it was spelled"
        page = await poll(cluster, running, "since=earliest")
        assert len(page["events"]) == 1
        page = await poll(cluster, running, f"last_event_id={page['cursor']}")
        assert (page["gap"]["reason"], page["events"]) == ("withheld", [])
        page = await poll(cluster, running, f"last_event_id={page['cursor']}")
        assert [event["data"] for event in page["events"]] == ['{"b": 1}']
        answer = await call(running.server.admin_port, "/statusz")
        assert answer.json["shaping"][cluster.tenant]["counts"]["withheld_masking"] >= 2


async def test_a_rule_that_is_added_is_for_open_streams_too(cluster: Cluster) -> None:
    async with cluster.edge() as running:
        live = await cluster.opened(running.server.port)
        await board(cluster, 2)
        before = await live.published(2)
        assert all(PHONE in event.data for event in before)
        await cluster.apply(masking=RULES)
        await until(lambda: bool(running.services.registry.get(cluster.tenant).spec.masking), "the rules are known")  # type: ignore[union-attr]
        await board(cluster, 3)
        for number, event in enumerate(await live.published(3)):
            check_masked(event.data, number)
        again = await cluster.opened(running.server.port, "", f"Last-Event-ID: {before[0].id}")
        for number, event in zip((1, 0, 1, 2), await again.published(4), strict=True):
            check_masked(event.data, number)
        assert not any(event.event == "stream.gap" for event in await rest(live))


async def rest(stream: Stream) -> list[Parsed]:
    """What comes within a moment."""
    found: list[Parsed] = []
    try:
        async with asyncio.timeout(0.2):
            while True:
                found += await stream.take(1)
    except TimeoutError:
        return found


@RINGS
async def test_an_envelope_says_topic_time_and_name(cluster: Cluster, ring: dict[str, Any]) -> None:
    async with cluster.edge(**ring) as running:
        live = await cluster.opened(running.server.port, "envelope=cloudevents&topic=flights.>")
        await board(cluster, 3)
        again = await cluster.opened(running.server.port, "envelope=cloudevents&topic=flights.>&since=earliest")
        for stream in (live, again):
            for number, event in enumerate(await stream.published(3)):
                found = json.loads(event.data)
                assert found["specversion"] == "1.0"
                assert found["source"] == f"/tenants/{cluster.tenant}"
                assert (found["subject"], found["type"]) == (FLIGHTS[number]["topic"], FLIGHTS[number]["event"])
                assert (found["id"], found["type"]) == (event.id, event.event)
                assert found["data"] == passengers(number)
        page = await poll(cluster, running, "since=earliest&envelope=cloudevents")
        assert json.loads(page["events"][0]["data"])["data"] == passengers(0)


@RINGS
async def test_the_same_event_has_the_same_id_on_every_pod_and_after_every_resume(
    cluster: Cluster, ring: dict[str, Any]
) -> None:
    await cluster.apply(event_key="auto", ordered=True)
    async with AsyncExitStack() as stack:
        pods = [await stack.enter_async_context(cluster.edge(**ring)) for _ in range(2)]
        live = [await cluster.opened(pod.server.port) for pod in pods]
        for number, key in enumerate(["LH 400/2", "plain", None, "x" * 200]):
            headers = {} if key is None else {"Sse-Key": key}
            await cluster.put(FLIGHTS[number]["topic"], b"{}", headers)
        (ids, other) = [[event.id for event in await stream.published(4)] for stream in live]
        assert ids == other
        assert all(len(text) <= 128 for text in ids)
        keys = [text.partition(".")[2] for text in ids]
        assert keys[1] == "plain"
        assert keys[0].startswith("LH-400-2--")
        assert keys[2].endswith("-3"), "the time and the sequence"
        for pod in pods:
            for number, text in enumerate(ids[:-1]):
                resumed = await cluster.opened(pod.server.port, "", f"Last-Event-ID: {text}")
                assert [event.id for event in await resumed.published(3 - number)] == ids[number + 1 :]
            assert [event["id"] for event in (await poll(cluster, pod, "since=earliest"))["events"]] == ids


@RINGS
async def test_hooks_drop_and_sign_after_the_mask(cluster: Cluster, ring: dict[str, Any], tmp_path: Path) -> None:
    secret = tmp_path / cluster.tenant / "signing"
    secret.parent.mkdir()
    secret.write_bytes(b"0123456789abcdef0123456789abcdef")
    await cluster.apply(
        masking=RULES,
        hooks=[
            {"name": "drop", "config": {"when": [{"topic": "noise.>"}]}},
            {"name": "sign", "config": {"alg": "HS256", "secret": "signing", "kid": "key-1"}},
        ],
    )
    async with cluster.edge(secrets=tmp_path, **ring) as running:
        live = await cluster.opened(running.server.port, "envelope=cloudevents")
        for number in range(6):
            await cluster.put("noise.x" if number % 2 else "a", json.dumps({"phone": PHONE, "n": number}).encode())
        again = await cluster.opened(running.server.port, "envelope=cloudevents&since=earliest")
        for stream in (live, again):
            found = [json.loads(event.data) for event in await stream.published(3)]
            assert [each["data"] for each in found] == [{"phone": HIDDEN["phone"], "n": n} for n in (0, 2, 4)]
            assert all(each["signature"].count(".") == 2 for each in found)
        assert not any(event.event == "stream.gap" for event in await rest(again)), "a filter is no gap"


async def test_a_hook_without_its_secret_lets_nothing_pass(cluster: Cluster, caplog: Any) -> None:
    await cluster.apply(hooks=[{"name": "sign", "config": {"alg": "HS256", "secret": "signing", "kid": "key-1"}}])
    async with cluster.edge() as running:
        live = await cluster.opened(running.server.port)
        await board(cluster, 1)
        gap = await live.one("stream.gap")
        assert json.loads(gap.data)["reason"] == "withheld"
        answer = await call(running.server.admin_port, "/statusz")
        assert "signing" in answer.json["shaping"][cluster.tenant]["faults"][0]
    caplog.clear()


async def test_a_secret_that_is_put_in_its_place_is_found(
    cluster: Cluster, tmp_path: Path, monkeypatch: Any, caplog: Any
) -> None:
    monkeypatch.setattr("slipstream.hooks.shapers._RETRY_SECONDS", 0.05)
    await cluster.apply(hooks=[{"name": "sign", "config": {"alg": "HS256", "secret": "signing", "kid": "key-1"}}])
    async with cluster.edge(secrets=tmp_path) as running:
        live = await cluster.opened(running.server.port)
        await board(cluster, 1)
        await live.one("stream.gap")
        before = running.services.hub.tails[0].shaper
        (tmp_path / cluster.tenant).mkdir()
        (tmp_path / cluster.tenant / "signing").write_bytes(b"0123456789abcdef0123456789abcdef")
        await until(lambda: running.services.hub.tails[0].shaper is not before, "the secret is found")
        await board(cluster, 1)
        (event,) = await live.published(1)
        assert json.loads(event.data) == passengers(0)
        again = await cluster.opened(running.server.port, "since=earliest")
        assert len(await again.published(2)) == 2, "what was withheld can be read now"
    caplog.clear()
