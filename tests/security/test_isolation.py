"""Two tenants of one edge: neither reads, writes, counts or finds the other."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from slipstream.app import Running
from slipstream.protocol.position import Position
from tests.integration.answers import problem
from tests.integration.cluster import Cluster
from tests.integration.events import gap_of
from tests.integration.guarded import PATH, bearer, get, minted, opened, post
from tests.integration.wire import Answer, until
from tests.security.attacks import attack

pytestmark = pytest.mark.asyncio(loop_scope="module")
LOOPS = ("uvloop",)

POLL = "/v1/poll"
SECRET = "the neighbour's turnover"


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def neighbour(cluster: Cluster, fenced: Running) -> AsyncIterator[Cluster]:
    async with Cluster.on(cluster.nats) as other:
        await until(lambda: fenced.services.registry.get(other.tenant) is not None, "the neighbour is known")
        for number in range(5):
            await other.put("orders.new", f"{SECRET} {number}".encode())
        yield other


def told(answer: Answer) -> str:
    """A refusal without what differs by nature."""
    return json.dumps({name: value for name, value in answer.json.items() if name != "trace_id"})


async def ids_of(fenced: Running, tenant: Cluster) -> list[str]:
    page = await get(fenced, "since=earliest", bearer(minted(tenant)), path=POLL)
    return [event["id"] for event in page.json["events"]]


@attack("another tenant's event id")
async def test_a_position_of_another_is_one_that_nobody_has(
    cluster: Cluster, neighbour: Cluster, fenced: Running
) -> None:
    """An id is a position, not a permission: what follows is decided by the tenant of the token."""
    await cluster.put("own", b"mine")
    theirs = await ids_of(fenced, neighbour)
    epoch, seq, mark = theirs[2].split("-")
    unknown = f"{'a' * 8}-{seq}-{mark}"
    shapes = []
    for place in (theirs[2], unknown, f"{epoch}-1", f"{epoch}-{2**64 - 1}", f"{theirs[4]}.key"):
        stream, ready = await opened(cluster, fenced, "", bearer(minted(cluster)), f"Last-Event-ID: {place}")
        assert ready["tenant"] == cluster.tenant
        gap = gap_of(await stream.one("stream.gap"))
        assert (gap["reason"], gap["requested"]) == ("reset", place)
        shapes.append({**gap, "requested": "", "from": "", "trace_id": ""})
        page = await get(fenced, f"last_event_id={place}", bearer(minted(cluster)), path=POLL)
        assert page.json["gap"]["reason"] == "reset"
        assert SECRET not in page.body.decode()
        stream.wire.close()
        assert SECRET.encode() not in b"".join(stream.blocks)
    assert all(shape == shapes[0] for shape in shapes), "a known and an unknown id are told alike"


@attack("another tenant by name")
async def test_a_name_is_no_permission(cluster: Cluster, neighbour: Cluster, fenced: Running) -> None:
    text = minted(cluster)
    ids = await ids_of(fenced, neighbour)
    for query in (
        f"tenant={neighbour.tenant}",
        f"tenant={neighbour.tenant}&since=earliest",
        f"tenant={neighbour.tenant}&last_event_id={ids[0]}",
        f"tenant={neighbour.tenant}&topic=orders.new",
    ):
        for path in (PATH, POLL):
            problem(await get(fenced, query, bearer(text), path=path), 403, "FORBIDDEN")
            problem(
                await get(fenced, "", bearer(text), f"X-Tenant-ID: {neighbour.tenant}", path=path), 403, "FORBIDDEN"
            )
    before = len(await ids_of(fenced, neighbour))
    problem(await post(fenced, text, {"topic": "a", "data": 1}, f"tenant={neighbour.tenant}"), 403, "FORBIDDEN")
    # A topic may look like anything; it is one behind the own tenant.
    assert (await post(fenced, text, {"topic": f"sse.{neighbour.tenant}.orders.new", "data": 1})).status == 200
    assert len(await ids_of(fenced, neighbour)) == before


@attack("topics beyond the token")
@pytest.mark.parametrize(
    "topic", [">", "*", "*.*", "orders.>", "orders.*", "*.new", "orders.old", "Orders.new", "orders.new.x", "orders"]
)
async def test_a_wider_filter_is_refused(cluster: Cluster, fenced: Running, topic: str) -> None:
    text = minted(cluster, topics={"subscribe": ["orders.new"], "publish": []})
    for query in (f"topic={topic}", f"topic=orders.new&topic={topic}", f"topic={topic}&since=earliest"):
        for path in (PATH, POLL):
            problem(await get(fenced, query, bearer(text), path=path), 403, "FORBIDDEN")


@attack("publishing beyond the token")
async def test_what_a_token_may_not_publish_is_not_stored(cluster: Cluster, fenced: Running) -> None:
    text = minted(cluster, scope="publish subscribe", topics={"subscribe": [">"], "publish": ["orders.*"]})
    for topic in ("orders", "orders.a.b", "order.a", "Orders.a", "x.orders.a"):
        problem(await post(fenced, text, {"topic": topic, "data": "evil"}), 403, "FORBIDDEN")
    batch: list[Any] = [{"topic": topic, "data": "evil"} for topic in ("secret", "orders.a.b")]
    answer = await post(fenced, text, [*batch, {"topic": "orders.ok", "data": "good"}])
    assert [("error" in one) for one in answer.json["results"]] == [True, True, False]
    for scope in ("subscribe", "", "Publish", "publish:all", "admin"):
        problem(await post(fenced, minted(cluster, scope=scope), {"topic": "orders.a", "data": 1}), 403, "FORBIDDEN")
    page = await get(fenced, "since=earliest&limit=1000", bearer(minted(cluster)), path=POLL)
    assert "evil" not in page.body.decode()


@attack("enumeration of tenants and topics")
async def test_what_there_is_cannot_be_found_out(cluster: Cluster, neighbour: Cluster, fenced: Running) -> None:
    narrow = {"subscribe": ["a"], "publish": ["a"]}
    asked = [
        (minted(cluster, tenant="nobody"), ""),
        (minted(cluster), "tenant=nobody"),
        (minted(cluster), f"tenant={neighbour.tenant}"),
        (minted(cluster, topics=narrow), "topic=orders.new"),
        (minted(cluster, topics=narrow), "topic=unheard-of"),
        (minted(cluster, scope=""), ""),
        (minted(cluster), f"tenant={neighbour.tenant}&last_event_id={Position('abcdefgh', 5)}"),
    ]
    answers = [await get(fenced, query, bearer(text), path=path) for text, query in asked for path in (PATH, POLL)]
    assert {answer.status for answer in answers} == {403}
    assert len({told(answer) for answer in answers}) == 1
    heads = [dict(answer.headers) for answer in answers]
    for head in heads:
        head.pop("traceparent")
        head.pop("date")
    assert all(head == heads[0] for head in heads)


@attack("counting another tenant's events")
async def test_a_tenants_sequence_is_its_own(cluster: Cluster, neighbour: Cluster, fenced: Running) -> None:
    first = (await post(fenced, minted(cluster), {"topic": "a", "data": 1})).json["seq"]
    for _ in range(3):
        await neighbour.put("orders.new", b"1")
    second = (await post(fenced, minted(cluster), {"topic": "a", "data": 1})).json["seq"]
    assert second == first + 1
    stream, ready = await opened(cluster, fenced, "", bearer(minted(cluster)))
    assert set(ready) <= {"stream", "tenant", "topics", "heartbeat_ms", "expires_at"}
    stream.wire.close()


@attack("another tenant's message ids")
async def test_an_id_is_a_duplicate_within_its_tenant_alone(
    cluster: Cluster, neighbour: Cluster, fenced: Running
) -> None:
    event = {"topic": "payments", "data": 1, "id": "guessable-1"}
    assert not (await post(fenced, minted(cluster), event)).json["duplicate"]
    assert not (await post(fenced, minted(neighbour), event)).json["duplicate"]
    assert (await post(fenced, minted(neighbour), event)).json["duplicate"]
