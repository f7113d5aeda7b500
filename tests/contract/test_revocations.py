"""Revocations in their bucket on a real nats-server, and tables that follow it."""

import asyncio
import base64
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from slipstream.auth.claims import EVERYTHING, LEEWAY, Token
from slipstream.auth.revocations import Kind, Revocation, Revocations, hash_of
from slipstream.jetstream.revocations import RevocationLedger, revocation_follower
from slipstream.jetstream.subjects import REVOCATIONS_BUCKET
from slipstream.protocol.errors import Code, SlipstreamError
from slipstream.tenants.issuer import LIFETIME_MAX
from tests.contract.pod import Pod, ended, until
from tests.servers import NatsServer, wait_until

AT = 1_795_527_707
_STREAM = f"KV_{REVOCATIONS_BUCKET}"


def subject(name: str, at: float = AT, tenant: str = "acme") -> Revocation:
    return Revocation.of(tenant, Kind.SUBJECT, name, at, "lost")


def token_of(name: str, tenant: str = "acme") -> Token:
    return Token(name, tenant, frozenset(), EVERYTHING, (), AT + 60, AT + 50, None, "i", AT)


@pytest.fixture
async def ledger(pod: Pod) -> AsyncIterator[RevocationLedger]:
    one = RevocationLedger(pod.api)
    await one.ensure()
    yield one
    await pod.api.call(f"STREAM.DELETE.{_STREAM}")


@asynccontextmanager
async def followed(pod: Pod) -> AsyncIterator[Revocations]:
    """A table that follows the bucket and was loaded once."""
    table = Revocations()
    follower = revocation_follower(pod.api, pod.feed_api, pod.name, table)
    task = asyncio.create_task(follower.run(), name="revocations")
    try:
        await until(lambda: table.loaded, "the revocations are loaded")
        yield table
        assert not task.done(), task
    finally:
        await ended(task)


async def test_two_follow_what_one_writes_and_takes_back(ledger: RevocationLedger, nats: NatsServer, pod: Pod) -> None:
    await ledger.put(subject("before"))
    async with Pod(nats.url, "other") as other, followed(pod) as one, followed(other) as two:
        assert all(table.revoked(token_of("before")) for table in (one, two))
        assert not one.revoked(token_of("ada"))
        assert await ledger.put(subject("ada")) == subject("ada")
        await until(lambda: all(table.revoked(token_of("ada")) for table in (one, two)), "both know")
        assert await RevocationLedger(other.api).remove("acme", Kind.SUBJECT, "ada") == subject("ada")
        await until(lambda: not any(table.revoked(token_of("ada")) for table in (one, two)), "both know")
        assert await ledger.remove("acme", Kind.SUBJECT, "ada") is None
        assert await ledger.remove("acme", Kind.SUBJECT, hash_of("before")) == subject("before")
        await until(lambda: not len(one), "by its hash, too")
        await ledger.put(subject("ada", AT + 7))
        await until(lambda: one.newest("acme", 9) == [subject("ada", AT + 7)], "again, after a removal")


async def test_a_clock_that_is_behind_lets_nobody_in(ledger: RevocationLedger) -> None:
    await ledger.put(subject("ada", AT + 5))
    assert await ledger.put(subject("ada", AT)) == subject("ada", AT + 5)
    assert await ledger.put(subject("ada", AT + 6)) == subject("ada", AT + 6)
    assert await ledger.list("acme") == [subject("ada", AT + 6)]


async def test_racing_writers_leave_the_latest(ledger: RevocationLedger, nats: NatsServer) -> None:
    async with Pod(nats.url, "other") as other:
        writers = [ledger, RevocationLedger(other.api), ledger]
        await asyncio.gather(*(one.put(subject("ada", AT + number)) for number, one in enumerate(writers)))
    assert [one.at for one in await ledger.list("acme")] == [AT + 2]


async def test_it_lives_until_no_token_concerned_can_be_good_and_then_is_gone(
    ledger: RevocationLedger, pod: Pod
) -> None:
    await ledger.put(subject("ada"))
    found = await pod.api.call(f"STREAM.MSG.GET.{_STREAM}", {"last_by_subj": f"$KV.{REVOCATIONS_BUCKET}.>"})
    assert f"Nats-TTL: {LIFETIME_MAX + LEEWAY}s" in _headers(found)
    await ledger.put(subject("brief")._replace(until=AT + 1))
    await ledger.remove("acme", Kind.SUBJECT, "ada")

    async def gone() -> bool:
        return await ledger.list("acme") == []

    await wait_until(gone, seconds=10, what="the brief one is gone a second later")


async def test_a_tenant_lists_its_own(ledger: RevocationLedger) -> None:
    assert await ledger.list("acme") == []
    made = [subject("ada"), Revocation.of("acme", Kind.TOKEN, "t/1 *>", AT + 1), subject("ada", tenant="acme-1")]
    for one in made:
        await ledger.put(one)
    assert await ledger.list("acme") == [made[1], made[0]]
    assert await ledger.list("acme-1") == [made[2]]


async def test_a_restart_of_the_server_forgets_nothing_and_what_came_meanwhile_is_read(
    ledger: RevocationLedger, nats: NatsServer, pod: Pod
) -> None:
    await ledger.put(subject("ada"))
    async with followed(pod) as table:
        await nats.kill()
        assert table.revoked(token_of("ada"))
        with pytest.raises(SlipstreamError) as away:
            await ledger.put(subject("grace"))
        assert away.value.code is Code.UPSTREAM_UNAVAILABLE
        await nats.start()
        async with Pod(nats.url, "other") as other:
            await RevocationLedger(other.api).put(subject("grace"))
        await until(lambda: table.revoked(token_of("grace")), "what was written while it was away")
        assert table.revoked(token_of("ada"))


@pytest.mark.parametrize("value", [b"", b"{}", b"\xff"])
async def test_what_is_broken_takes_nothing_away_and_is_written_over(
    ledger: RevocationLedger, pod: Pod, caplog: pytest.LogCaptureFixture, value: bytes
) -> None:
    await ledger.put(subject("ada"))
    async with followed(pod) as table:
        await pod.api.request(f"$KV.{REVOCATIONS_BUCKET}.{subject('ada').key}", value)
        await ledger.put(subject("grace"))
        await until(lambda: table.revoked(token_of("grace")), "what came after it")
        assert table.revoked(token_of("ada"))
        assert "is broken and ignored" in caplog.text
        caplog.clear()
        await ledger.put(subject("ada", AT + 1))
        await until(lambda: table.newest("acme", 1) == [subject("ada", AT + 1)], "it is mended")


async def test_a_bucket_made_anew_is_told_and_followed(pod: Pod, caplog: pytest.LogCaptureFixture) -> None:
    ledger = RevocationLedger(pod.api)
    await ledger.ensure()
    await ledger.put(subject("ada"))
    async with followed(pod) as table:
        with caplog.at_level(logging.WARNING):
            await pod.api.call(f"STREAM.DELETE.{_STREAM}")
            await until(lambda: "was made anew" in caplog.text, "it has noticed")
        await ledger.put(subject("grace"))
        await until(lambda: table.newest("acme", 9) == [subject("grace")], "the new one is followed")
    await pod.api.call(f"STREAM.DELETE.{_STREAM}")


def _headers(found: dict[str, dict[str, str]]) -> str:
    return base64.b64decode(found["message"]["hdrs"]).decode()
