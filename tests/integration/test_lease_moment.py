"""Who is let in by the other processes in the very moment in which it gives up, on the loops that edges run on."""

import asyncio
import time

import pytest

from slipstream.jetstream import leases
from slipstream.jetstream.account import Account
from slipstream.protocol.errors import SlipstreamError
from tests.contract.test_leases import KEY, processes
from tests.servers import NatsServer

LOOPS = ("uvloop", "asyncio")

SECONDS = 0.3


async def test_who_is_let_in_as_its_time_ends_is_in_or_out_and_counted_so(
    nats: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    settle = Account.settle

    def late(account: Account, now: float, *, holds: bool) -> int:
        count = settle(account, now, holds=holds)
        if count:
            time.sleep(SECONDS * 1.5)  # the loop stalls, past the deadline
        return count

    async with processes(nats, "a") as (one,):
        monkeypatch.setattr(leases, "_ENTER_SECONDS", SECONDS)
        monkeypatch.setattr(Account, "settle", late)
        try:
            await one.leases.enter(KEY, 3)
        except SlipstreamError:
            assert one.share()["in_use"] == 0
        else:
            assert one.share()["in_use"] == 1
            one.leave(1)
        assert one.share()["in_use"] == 0


async def test_who_leaves_in_the_moment_in_which_it_is_let_in_is_not_counted(
    nats: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    settle = Account.settle

    def gone(account: Account, now: float, *, holds: bool) -> int:
        count = settle(account, now, holds=holds)
        if count:
            entering.cancel()
        return count

    async with processes(nats, "a") as (one,):
        monkeypatch.setattr(Account, "settle", gone)
        entering = asyncio.create_task(one.leases.enter(KEY, 3), name="entering")
        await asyncio.wait([entering])
        assert entering.cancelled()
        assert one.share()["in_use"] == 0
