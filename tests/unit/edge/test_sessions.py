"""What the edge knows of an open stream, and that its place is given back once."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from slipstream.edge.admission import Addresses, Place
from slipstream.edge.sessions import Session, Sessions, StreamId
from slipstream.fanout.connection import Connection
from slipstream.quotas.grants import tenant_key
from tests.unit.edge.test_admission import OneProcess


def audience(tenant: str) -> Any:
    return SimpleNamespace(tail=SimpleNamespace(tenant=tenant))


async def session(grants: OneProcess, number: int, tenant: str = "acme") -> Session:
    place = Place(grants, Addresses(0), "192.0.2.1")
    await place.take(tenant_key("acme"), None)
    return Session(Connection(-1, number, audience(tenant), 0), None, place, opened_at=1)


async def test_a_stream_is_known_until_it_ends_and_then_has_no_place() -> None:
    grants, sessions = OneProcess(), Sessions()
    one, other = await session(grants, 7), await session(grants, 8)
    sessions.open(one)
    sessions.open(other)
    assert one.place.kept
    assert one.address == "192.0.2.1"
    assert sessions.get(7) is one
    assert [found async for found in sessions.walk()] == [one, other]
    for _ in range(2):
        sessions.closed(7)
    assert sessions.get(7) is None
    assert grants.used == {tenant_key("acme"): 1}
    assert len(sessions) == 1


async def test_a_walk_lets_others_go_on_and_passes_over_what_ended_meanwhile() -> None:
    grants, sessions = OneProcess(), Sessions()
    for number in range(1_000):
        sessions.open(await session(grants, number))
    seen = []

    async def look() -> None:
        seen.extend([found.number async for found in sessions.walk()])

    walk, turns = asyncio.create_task(look(), name="walk"), 0
    while not walk.done():
        sessions.closed(999)
        turns += 1
        await asyncio.sleep(0)
    assert seen == list(range(999))
    assert turns >= 10


async def test_one_tenant_that_asks_a_lot_takes_one_slice_of_a_turn_and_sees_its_own_alone() -> None:
    """Or a hundred questions at once would take a hundred slices, and everybody's events would wait."""
    grants, sessions = OneProcess(), Sessions()
    for number in range(1_000):
        sessions.open(await session(grants, number, "other" if number % 2 else "acme"))
    looks = 0

    async def look() -> list[int]:
        nonlocal looks
        found = []
        async for one in sessions.walk_of("acme"):
            looks += 1
            found.append(one.number)
        return found

    walks, most = [asyncio.create_task(look(), name="walk") for _ in range(20)], 0
    while not all(walk.done() for walk in walks):
        before = looks
        await asyncio.sleep(0)
        most = max(most, looks - before)
    assert most <= 200, "a slice, and the first of the next one's"
    assert [walk.result() for walk in walks] == [list(range(0, 1_000, 2))] * 20
    cut = asyncio.create_task(look(), name="walk")
    await asyncio.sleep(0)
    cut.cancel()
    assert len(await look()) == 500, "who leaves keeps nobody from it"
    for number in range(1_000):
        sessions.closed(number)
    assert (await look(), sessions._of) == ([], {})


@pytest.mark.parametrize(
    "text",
    ["", ".", "ab", "ab.", ".7", "ab.x", "ab.-1", "a/b.7", "ab.7.7", "é.7", "a" * 65 + ".7", "a." + "9" * 16, "a.٣"],
)
def test_what_is_no_stream_id(text: str) -> None:
    assert StreamId.parse(text) is None


def test_a_stream_id() -> None:
    assert StreamId.parse("0a1b2c3d.42") == ("0a1b2c3d", 42)
    assert StreamId.parse("a." + "9" * 15) == ("a", 10**15 - 1)
