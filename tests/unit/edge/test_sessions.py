"""What the edge knows of an open stream, and that its place is given back once."""

import asyncio
from typing import Any

import pytest

from slipstream.edge.admission import Addresses, Place
from slipstream.edge.sessions import Session, Sessions, StreamId
from slipstream.fanout.connection import Connection
from slipstream.quotas.grants import tenant_key
from tests.unit.edge.test_admission import OneProcess

AUDIENCE: Any = None


async def session(grants: OneProcess, number: int) -> Session:
    place = Place(grants, Addresses(0), "192.0.2.1")
    await place.take(tenant_key("acme"), None)
    return Session(Connection(-1, number, AUDIENCE, 0), None, place, opened_at=1)


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


@pytest.mark.parametrize(
    "text",
    ["", ".", "ab", "ab.", ".7", "ab.x", "ab.-1", "a/b.7", "ab.7.7", "é.7", "a" * 65 + ".7", "a." + "9" * 16, "a.٣"],
)
def test_what_is_no_stream_id(text: str) -> None:
    assert StreamId.parse(text) is None


def test_a_stream_id() -> None:
    assert StreamId.parse("0a1b2c3d.42") == ("0a1b2c3d", 42)
    assert StreamId.parse("a." + "9" * 15) == ("a", 10**15 - 1)
