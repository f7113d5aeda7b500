"""The quotas' shared state in a NATS KV bucket (ADR-8): who lives, what each process was granted, who wants more.

Every process follows the whole bucket with a feed of its own, so that it knows all documents and signs of life in one
order (see `quotas.lease`); it writes by compare-and-set, one write a key at a time, for all who wait for that key.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Mapping
from contextlib import aclosing, suppress
from typing import Final

import orjson

from slipstream.jetstream.account import Account, refusal
from slipstream.jetstream.api import Api, ApiError
from slipstream.jetstream.kv import COPYING, REMOVAL, WRONG_LAST_SEQUENCE
from slipstream.jetstream.kv_follower import KvFollower
from slipstream.jetstream.lease_bucket import granted, lease_bucket
from slipstream.jetstream.subjects import Delivered
from slipstream.protocol.errors import Code, SlipstreamError
from slipstream.quotas.lease import Lease, Members
from slipstream.quotas.share import Admitted, Refused, Write

_logger = logging.getLogger(__name__)

_ENTER_SECONDS: Final = 5.0
_WANT_SECONDS: Final = 0.5
"""How long the others have to give back what lies idle: some round trips."""

_COPYING_SECONDS: Final = 0.1
_SLICE: Final = 50
"""Keys that are looked at in one turn of the loop: there may be one for each subject, and streams wait meanwhile."""

_GOODBYE_SECONDS: Final = 1.0
_SWEEP_SECONDS: Final = 600.0
_TTL_SECONDS: Final = 60


class Leases:
    """A `quotas.grants.Grants`.

    `run` follows the bucket, `renew` shows that this process lives, `sweep` clears away what others left that died. All
    three run for ever.

    lease: seconds after which the others take this process for gone; a sign of life is sent every third of it.
    """

    def __init__(self, api: Api, feed_api: Api, process: str, lease: float) -> None:
        self._bucket = lease_bucket(api)
        self._process = process
        self._third = lease / 3
        self._ttl = f"{max(_TTL_SECONDS, math.ceil(4 * lease))}s"
        self._lease = Lease(lease)
        self._members = Members(lease)
        self._accounts: dict[str, Account] = {}
        self._sent: dict[int, float] = {}
        self._signs = 0
        self._follower = KvFollower(self._bucket, api, feed_api, f"{process}-leases", self, make=True)

    @property
    def living(self) -> int:
        """How many processes are alive, this one included."""
        return self._members.living

    @property
    def names(self) -> frozenset[str]:
        """The processes that are alive."""
        return self._members.names

    @property
    def holds(self) -> bool:
        """Whether this process may admit what it is granted."""
        return self._lease.holds(time.monotonic())

    async def run(self) -> None:
        """Follow the bucket until cancelled."""
        await self._follower.run()

    async def renew(self) -> None:
        """Say that this process lives, and tidy what lies idle, every third of a lease, until cancelled."""
        await self._follower.attached.wait()
        failed = False
        while True:
            pause = self._third
            try:
                await self._show()
            except (ApiError, SlipstreamError) as error:
                pause /= 5
                if not failed:
                    _logger.warning("the lease of this process cannot be renewed, trying on: %s", error)
                failed = True
            else:
                if failed:
                    _logger.info("the lease of this process is renewed again")
                failed = False
            await self._tidy()
            await asyncio.sleep(pause)

    async def sweep(self, every: float = _SWEEP_SECONDS) -> None:
        """Every so many seconds take out what processes were granted that are gone, until cancelled.

        A share of a limit that somebody asks for is cleared at once. This is for those that nobody asks for any more,
        as of a subject that stays away: there would be one for each that a process held as it died.
        """
        while True:
            await asyncio.sleep(every)
            names = self._members.names
            # One for all, and any of them: who does it does not matter.
            if self.holds and self._process == min(names, default=""):
                try:
                    await self._sweep()
                except (ApiError, SlipstreamError) as error:
                    _logger.info("what dead processes were granted is cleared away later: %s", error)

    async def close(self) -> None:
        """Say that this process goes, so that the others have its share at once; end what is under way."""
        tasks = [account.task for account in self._accounts.values() if account.task is not None]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=_GOODBYE_SECONDS)
        if self._lease.holds(time.monotonic()):
            with suppress(ApiError, SlipstreamError, TimeoutError):  # else the lease ends by itself
                async with asyncio.timeout(_GOODBYE_SECONDS):
                    await self._bucket.put(f"live.{self._process}", b"", {**REMOVAL, "Nats-TTL": self._ttl})

    # -- what `quotas.grants.Grants` asks for

    async def enter(self, key: str, limit: int | None) -> None:
        """See `Grants.enter`."""
        account = self._account(key, limit)
        decision = account.share.admit(time.monotonic(), holds=self.holds)
        if isinstance(decision, Admitted):
            return
        if isinstance(decision, Refused) or (limit is not None and len(account) >= limit):
            raise refusal(limit, decision)
        turn = account.queue()
        self._begin(key, account)
        try:
            async with asyncio.timeout(_ENTER_SECONDS):
                await turn
        except TimeoutError as error:
            account.forget(turn)
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                # It was let in as its time ended, and is counted.
                return
            raise _unasked("the other processes took too long") from error
        except BaseException:
            account.forget(turn)
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                # It was let in, and leaves in the same moment.
                self.leave(key)
            raise

    def leave(self, key: str) -> None:
        """See `Grants.leave`."""
        account = self._accounts[key]
        account.share.release()
        account.settle(time.monotonic(), holds=self.holds)
        if account.share.generous > time.monotonic():
            self._begin(key, account)

    def resize(self, key: str, limit: int | None) -> None:
        """See `Grants.resize`."""
        account = self._accounts.get(key)
        if account is not None and account.share.limit != limit:
            account.share.limit = limit
            account.tidy = True
            self._begin(key, account)

    def document(self) -> Mapping[str, Mapping[str, int]]:
        """See `Grants.document`."""
        return {
            key: {
                "in_use": account.share.in_use,
                "granted": account.share.granted,
                "overshoot": account.share.overshoot,
            }
            for key, account in self._accounts.items()
        }

    # -- one key's work: at most one task, while there is something to write or somebody waits

    def _account(self, key: str, limit: int | None) -> Account:
        account = self._accounts.get(key)
        if account is None:
            account = self._accounts[key] = Account(self._process, limit)
        account.share.limit = limit
        return account

    def _begin(self, key: str, account: Account) -> None:
        # One that has ended counts for nothing, also before `_ended` is called: what it did not see would stay undone.
        if account.task is None or account.task.done():
            account.task = asyncio.create_task(self._work(key, account), name=f"leases-{key}")
            account.task.add_done_callback(lambda task: self._ended(key, account, task))

    def _ended(self, key: str, account: Account, task: asyncio.Task[None]) -> None:
        if account.task is task:
            account.task = None
        error = None if task.cancelled() else task.exception()
        if error is not None:
            _logger.error("the share of %s could not be settled: %r", key, error)
        if task.cancelled() or error is not None:
            account.refuse(_unasked("this process stopped asking"))
        elif len(account):
            self._begin(key, account)

    async def _tidy(self) -> None:
        for number, (key, account) in enumerate(list(self._accounts.items()), 1):
            if self._accounts.get(key) is not account:
                continue
            if account.idle:
                del self._accounts[key]
            else:
                account.tidy = True
                self._begin(key, account)
            if not number % _SLICE:
                await asyncio.sleep(0)

    async def _sweep(self) -> None:
        async with aclosing(self._bucket.all("quota.>")) as entries:
            async for key, value in entries:
                if key not in self._accounts and granted(key, value).keys() - self._members.names:
                    await self._clear(key)

    async def _clear(self, key: str) -> None:
        entry = await self._bucket.get(key)
        if entry is None:
            return
        document = granted(key, entry.value)
        left = {one: count for one, count in document.items() if not self._members.lapsed(one, entry.revision)}
        if left != document:
            # Where somebody else writes at this moment, that clears it, too.
            await self._bucket.replace(key, orjson.dumps(left), entry, {} if left else {"Nats-TTL": self._ttl})

    async def _work(self, key: str, account: Account) -> None:
        since: float | None = None
        while True:
            now, holds = time.monotonic(), self.holds
            if account.settle(now, holds=holds):
                since = None
            account.changed.clear()
            write = account.share.plan(len(account), self._members, now, holds=holds, tidy=account.tidy)
            account.tidy = False
            if write is None and not len(account):
                return
            try:
                if write is not None:
                    await self._write(key, account, write)
                elif since is None:
                    since = now
                    if holds:
                        await self._bucket.put(f"want.{key}", self._process.encode(), {"Nats-TTL": self._ttl})
                elif now - since < _WANT_SECONDS:
                    await account.change(since + _WANT_SECONDS - now)
                elif holds:
                    account.refuse(refusal(account.share.limit, account.share.full(now)))
                else:
                    account.refuse(_unasked("NATS did not answer for too long"))
            except (ApiError, SlipstreamError) as error:
                # Said aloud by `renew`, once for all keys; here each who waits is told.
                _logger.debug("the share of %s cannot be asked for: %s", key, error)
                account.refuse(_unasked(str(error)))
                return

    async def _write(self, key: str, account: Account, write: Write) -> None:
        headers = {"Nats-Expected-Last-Subject-Sequence": str(write.expected)}
        if not write.document:
            headers["Nats-TTL"] = self._ttl
        try:
            revision = await self._bucket.put(key, orjson.dumps(write.document), headers)
        except ApiError as error:
            if error.err_code not in WRONG_LAST_SEQUENCE:
                raise
            await self._read(key, account)
            if error.err_code == COPYING:
                # Perhaps it could not be read yet, and without a quorum it never can.
                await account.change(_COPYING_SECONDS)
        else:
            account.share.written(write, revision)

    async def _read(self, key: str, account: Account) -> None:
        """What stands there now, said by the leader; the feed may be a little behind."""
        entry = await self._bucket.get(key)
        if entry is None:
            account.share.gone()
        else:
            account.share.seen(granted(key, entry.value), entry.revision)

    async def _show(self) -> None:
        self._signs += 1
        number = self._signs
        self._sent[number] = time.monotonic()
        # Those of which nothing came back; the last three may still come.
        self._sent.pop(number - 4, None)
        await self._bucket.put(f"live.{self._process}", b"%d" % number, {"Nats-TTL": self._ttl})

    # -- what `jetstream.kv_follower.Watcher` asks for

    def began(self, *, anew: bool) -> None:
        """See `Watcher.began`."""
        if anew:
            _logger.warning("all shares of quotas begin again")
            self._lease.drop()
            for account in self._accounts.values():
                account.share.gone()
        self._members.clear()

    def take(self, key: str, value: bytes | None, delivered: Delivered) -> None:
        """See `Watcher.take`."""
        seq, time_ms = delivered.stream_seq, delivered.time_ms
        kind, _, name = key.partition(".")
        self._members.read(seq, time_ms)
        if kind == "live":
            if value is None:
                self._members.left(name)
            else:
                self._members.heard(name, time_ms, time.monotonic())
                if name == self._process:
                    self._shown(value)
        elif kind == "quota" and (account := self._accounts.get(key)) is not None:
            account.share.seen({} if value is None else granted(name, value), seq)
            account.changed.set()
        elif kind == "want" and value != self._process.encode() and (account := self._accounts.get(name)) is not None:
            account.share.wanted(time.monotonic())
            self._begin(name, account)

    def loaded(self) -> None:
        """See `Watcher.loaded`."""
        self._members.loaded = True

    def _shown(self, data: bytes) -> None:
        """A sign of life of ours was stored, and everything before it is known."""
        sent_at = self._sent.pop(int(data), None) if data.isdigit() else None
        if sent_at is None:
            return
        self._members.sent(sent_at)
        if self._lease.renewed(sent_at, time.monotonic()):
            for key, account in self._accounts.items():
                account.share.lapsed()
                account.changed.set()
                if len(account):
                    # The others are written anew when it is tidied, or when somebody comes.
                    self._begin(key, account)


def _unasked(why: str) -> SlipstreamError:
    return SlipstreamError(
        Code.UPSTREAM_UNAVAILABLE, f"the quota cannot be checked now ({why}): try again", retry_after=2.0
    )
