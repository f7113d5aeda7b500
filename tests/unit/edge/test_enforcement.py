"""Which open streams a revocation ends, and that the loop goes on meanwhile."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from slipstream.auth.claims import EVERYTHING, Token
from slipstream.auth.revocations import Kind, Revocation, Revocations
from slipstream.edge.enforcement import Enforcement
from slipstream.edge.sessions import Session, Sessions
from slipstream.fanout.connection import Connection, Ending

AT = 1_795_527_707


class Kept:
    """Stands in for a place of a quota."""

    kept = False

    def close(self) -> None:
        """Nothing was counted."""


def session(number: int, subject: str, tenant: str = "acme") -> Session:
    token = Token(subject, tenant, frozenset(), EVERYTHING, (), AT + 60, AT + 50, None, "i", AT)
    place: Any = Kept()
    audience: Any = SimpleNamespace(tail=SimpleNamespace(tenant=tenant))
    return Session(Connection(-1, number, audience, 0), token, place, opened_at=AT)


async def test_those_concerned_end_in_slices_and_one_that_fails_keeps_no_other(
    caplog: pytest.LogCaptureFixture,
) -> None:
    sessions, ended, turns = Sessions(), list[int](), 0
    for number in range(1_000):
        sessions.open(session(number, "ada" if number % 2 else "grace", "acme" if number < 900 else "other"))

    def close(connection: Connection, ending: Ending, final: bytes) -> None:
        assert ending is Ending.REVOKED
        assert b"SSE_UNAUTHORIZED" in final
        if connection.number == 1:
            raise RuntimeError("broken")
        ended.append(connection.number)

    table = Revocations()
    enforcement = Enforcement(table, sessions, close)
    task = asyncio.create_task(enforcement.run(), name="enforcement")
    enforcement.put(Revocation.of("acme", Kind.SUBJECT, "ada", AT))
    async with asyncio.timeout(5):
        while len(ended) < 449:
            turns += 1
            await asyncio.sleep(0)
    assert ended == [number for number in range(3, 900) if number % 2]
    assert turns >= 9, "the loop had its turns"
    assert "stream 1 could not be ended" in caplog.text
    # A load ends what it has to, too.
    ended.clear()
    one = Revocation.of("other", Kind.TENANT, "other", AT)
    enforcement.replace({one.key: one})
    async with asyncio.timeout(5):
        while len(ended) < 100:  # noqa: ASYNC110 - turns of the loop are what it takes
            await asyncio.sleep(0)
    assert ended == list(range(900, 1_000))
    assert table.loaded
    task.cancel()
