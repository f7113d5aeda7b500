"""Records on their way through a real chain: what is filled in, in which order, and what ends when."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any

import pytest

from slipstream.hooks.host import Cause
from slipstream.hooks.sink import Buffer, StagedSink
from slipstream.hooks.source import StagedSource
from slipstream.hooks.stage import Setup, Stage
from slipstream.hooks.stages import Stages
from slipstream.hooks.wire import Plan
from slipstream.log.source import Batch, State
from slipstream.protocol.errors import SlipstreamError
from slipstream.protocol.event import Record
from slipstream.protocol.topic import Filters
from slipstream.resilience.supervise import Supervisor
from slipstream.shape.event import Dropped, Event, SecretMissing, Undeliverable, Withheld
from slipstream.shape.look import Look
from slipstream.shape.shaper import Shaper, make_shaper
from slipstream.tenants.model import Tenant, TenantSpec
from slipstream.tenants.shaping import HookSpec, MaskingRule
from tests.contract.pod import until

pytestmark = pytest.mark.usefixtures("installed")

_NOBODY: frozenset[str] = frozenset()
_SEER = frozenset({"pii:read"})
_PHONE = MaskingRule(field="phone", method="phone")


def no_secret(*names: str) -> bytes:
    raise SecretMissing(str(names))


def shaper(*hooks: str, masking: tuple[MaskingRule, ...] = (_PHONE,)) -> Shaper:
    spec = TenantSpec(masking=masking, hooks=tuple(HookSpec(name=name) for name in hooks))
    return make_shaper(Tenant.of("acme", spec), no_secret, {}, {}, foreign=hooks)


def setup(made: Shaper, *hooks: str, pause: float = 0.0, budget_ms: float = 5_000.0) -> Setup:
    chain = tuple(HookSpec(name=name, config={"pause": pause}) for name in hooks)
    return Setup(made, lambda: Plan("acme", chain, budget_ms), no_secret)


FOREIGN = setup(shaper("obey"), "obey")
PLAIN = setup(shaper())


def record(seq: int, data: bytes = b'{"phone":"13812345678"}', event: str = "") -> Record:
    return Record(seq, 1_000 + seq, "a.b", event, data)


@asynccontextmanager
async def supervised() -> AsyncIterator[Supervisor]:
    supervisor = Supervisor()
    try:
        yield supervisor
    finally:
        await supervisor.stop(5.0)
        assert not len(supervisor)


class Current:
    """The setup as it is now."""

    def __init__(self, now: Setup) -> None:
        self.now = now

    def __call__(self) -> Setup:
        return self.now


async def test_every_view_of_an_event_has_its_outcome() -> None:
    records = [record(1), record(2, b'{"a":1}'), record(3, event="drop"), record(4, b"no json {"), record(5)]
    records[4].fault = "it is no event"
    async with supervised() as supervisor:
        stage = Stage("acme", Current(FOREIGN), supervisor)
        await stage.prepare(records, "epoch")
        assert stage.counts == {Cause.DROPPED: 2}
    first, same, dropped, unreadable, faulty = (one.shaped for one in records)
    assert first is not None
    assert same is not None
    views = first[_NOBODY], first[_SEER]
    assert [one.data for one in views if isinstance(one, Event)] == [
        b'{"PHONE":"138****5678"}',
        b'{"PHONE":"13812345678"}',
    ]
    assert same[_NOBODY] is same[_SEER]
    assert dropped == {_NOBODY: Dropped(), _SEER: Dropped()}
    assert unreadable is not None
    assert isinstance(unreadable[_NOBODY], Withheld)
    assert isinstance(unreadable[_SEER], Event)
    assert faulty is None
    assert FOREIGN.shaper.masks == (_NOBODY, _SEER)


async def test_the_shaper_finds_what_the_stage_has_filled_in() -> None:
    one = record(1)
    made = shaper("obey")
    async with supervised() as supervisor:
        await Stage("acme", Current(setup(made, "obey")), supervisor).prepare([one], "epoch")
    found = made.outcome(one, "epoch", Look(_NOBODY, envelope=False))
    assert isinstance(found, Event)
    assert found.data == b'{"PHONE":"138****5678"}'


async def test_what_is_prepared_or_needs_no_child_starts_none() -> None:
    prepared = record(1)
    prepared.shaped = {}
    async with supervised() as supervisor:
        stage = Stage("acme", Current(FOREIGN), supervisor)
        await stage.prepare([prepared], "epoch")
        assert prepared.shaped == {}
        current = Current(PLAIN)
        plain = Stage("acme", current, supervisor)
        one = record(2)
        await plain.prepare([one], "epoch")
        assert one.shaped is None
        assert not plain.foreign
        assert stage.host is plain.host is None


async def test_a_changed_document_ends_the_child_and_makes_another() -> None:
    async with supervised() as supervisor:
        current = Current(FOREIGN)
        stage = Stage("acme", current, supervisor)
        await stage.prepare([record(1)], "epoch")
        before = stage.host
        waiting = asyncio.create_task(stage.prepare([record(1, event="sleep")], "epoch"))
        await asyncio.sleep(0.05)
        current.now = setup(shaper("obey", masking=()), "obey")
        one = record(2)
        await stage.prepare([one], "epoch")
        assert one.shaped is not None
        assert list(one.shaped) == [_NOBODY]
        assert stage.host is not before
        with pytest.raises(SlipstreamError, match="is being stopped"):
            await waiting


async def test_what_an_old_document_has_shaped_is_shaped_again() -> None:
    """A rule that was added while the chain had the event holds for it."""
    async with supervised() as supervisor:
        current = Current(setup(shaper("obey", masking=()), "obey", pause=0.2))
        stage = Stage("acme", current, supervisor)
        one = record(1)
        preparing = asyncio.create_task(stage.prepare([one], "epoch"))
        await until(lambda: stage.host is not None and stage.host.pid is not None, "the child has it")
        current.now = FOREIGN
        await preparing
    assert one.shaped is not None
    found = one.shaped[_NOBODY]
    assert isinstance(found, Event)
    assert found.data == b'{"PHONE":"138****5678"}'


class Noting(Shaper):
    """Notes at which turn of the loop it was asked."""

    turn = 0
    asked: Counter[int]

    def masked(self, record: Record, epoch: str, scopes: frozenset[str]) -> Event | Withheld | Undeliverable:
        self.asked[self.turn] += 1
        return super().masked(record, epoch, scopes)


async def test_large_records_are_masked_a_few_at_a_time() -> None:
    """What is done without giving way to other tenants is bounded."""
    noting = Noting(maskers={_NOBODY: None}, foreign=True)
    noting.asked = Counter()
    records = [record(seq, b"x" * 20_000) for seq in range(1, 11)]

    async def turn() -> None:
        while not all_prepared(records):
            noting.turn += 1
            await asyncio.sleep(0)

    async with supervised() as supervisor, asyncio.timeout(20.0):
        stage = Stage("acme", Current(setup(noting, "obey")), supervisor)
        await asyncio.gather(stage.prepare(records, "epoch"), turn())
    assert list(noting.asked.values()) == [3, 3, 3, 1]


async def test_a_document_that_changes_between_two_parts_holds_for_both() -> None:
    records = [record(seq, b'{"phone":"13812345678","x":"%s"}' % (b"x" * 60_000)) for seq in (1, 2)]
    async with supervised() as supervisor:
        current = Current(setup(shaper("obey", masking=()), "obey", pause=0.2))
        stage = Stage("acme", current, supervisor)
        preparing = asyncio.create_task(stage.prepare(records, "epoch"))
        await until(lambda: (host := stage.host) is not None and host._asked == 2, "the first is answered")
        current.now = FOREIGN
        await preparing
    for one in records:
        assert one.shaped is not None
        found = one.shaped[_NOBODY]
        assert isinstance(found, Event)
        assert b"138****5678" in found.data


# -- history -----------------------------------------------------------------------------------------------------------


class History:
    """A `log.source.Source` of records in memory."""

    def __init__(self, records: Sequence[Record]) -> None:
        self.records = list(records)

    async def state(self) -> State:
        return State("epoch", 1, len(self.records), None)

    async def read(self, pattern: str, after: int, limit: int) -> Batch:
        found = [one for one in self.records if one.seq > after]
        return Batch(found[:limit], len(found[limit:]))

    async def count(self, pattern: str, after: int) -> int:
        return 1

    async def last_match(self, pattern: str) -> int:
        return 2

    async def first_since(self, time_ms: int) -> int | None:
        return 3

    async def time_of(self, seq: int) -> int | None:
        return 4

    async def prepare(self, records: list[Record]) -> list[Record]:
        return records

    async def snapshot(self, filters: Filters) -> AsyncGenerator[list[Record], None]:
        for start in range(0, len(self.records), 10):
            yield self.records[start : start + 10]


def all_prepared(records: Iterable[Record]) -> bool:
    return all(one.shaped is not None for one in records)


async def test_history_is_prepared_piece_by_piece_and_the_rest_passes() -> None:
    async with supervised() as supervisor:
        source = StagedSource(
            History([record(seq) for seq in range(1, 24)]), Stage("acme", Current(FOREIGN), supervisor)
        )
        answers = await source.count(">", 0), await source.last_match(">"), await source.first_since(0)
        assert (*answers, await source.time_of(1)) == (1, 2, 3, 4)
        batch = await source.read(">", 0, 20)
        assert (len(batch.records), batch.pending) == (20, 3)
        assert not any(one.shaped for one in batch.records), "it is read as fast as can be"
        left = batch.records
        while left:
            ready = await source.prepare(left)
            assert ready == left[: len(ready)]
            assert all_prepared(ready)
            left = left[len(ready) :]
        assert await source.prepare([]) == []
        async with aclosing(source.snapshot(Filters.parse([">"]))) as parts:
            assert [one.seq async for part in parts for one in part] == list(range(1, 24))


async def test_without_foreign_hooks_history_passes_as_it_is() -> None:
    async with supervised() as supervisor:
        source = StagedSource(History([record(seq) for seq in range(1, 24)]), Stage("acme", Current(PLAIN), supervisor))
        assert await source.read(">", 3, 10) == Batch([record(seq) for seq in range(4, 14)], 10)
        assert await source.prepare(records := [record(1)]) is records
        async with aclosing(source.snapshot(Filters.parse([">"]))) as parts:
            assert [len(part) async for part in parts] == [10, 10, 3]


async def test_where_hooks_are_slow_some_are_ready_soon() -> None:
    async with supervised() as supervisor:
        stage = Stage("acme", Current(setup(shaper("obey", masking=()), "obey", pause=0.01)), supervisor)
        ready = await StagedSource(History([]), stage).prepare([record(seq) for seq in range(1, 401)])
    assert 8 <= len(ready) < 400
    assert all_prepared(ready)


# -- one after another, and side by side -------------------------------------------------------------------------------


async def test_the_feed_goes_before_a_replay_of_the_same_records_and_both_end() -> None:
    history = [record(seq) for seq in range(1, 65)]
    ends: list[str] = []

    async def prepare(name: str, *, urgent: bool) -> None:
        await stage.prepare(history if not urgent else history[:32], "epoch", urgent=urgent)
        ends.append(name)

    async with supervised() as supervisor, asyncio.timeout(20.0):
        stage = Stage("acme", Current(setup(shaper("obey", masking=()), "obey", pause=0.005)), supervisor)
        replay = asyncio.create_task(prepare("replay", urgent=False))
        await asyncio.sleep(0)
        await asyncio.gather(replay, prepare("feed", urgent=True))
    assert ends == ["feed", "replay"]
    assert all_prepared(history)


class Feed:
    """What feeds a staged sink in the tests: so many records, then nothing for ever."""

    def __init__(self, staged: StagedSink, count: int) -> None:
        self.staged = staged
        self.count = count
        self.ended = False

    async def run(self) -> None:
        self.staged.restart(State("epoch", 1, 0, None), 0, None, None)
        try:
            for seq in range(1, self.count + 1):
                while True:
                    try:
                        self.staged.append(record(seq))
                        break
                    except asyncio.QueueFull:
                        await self.staged.room()
            await asyncio.Event().wait()
        finally:
            self.ended = True


class Tail:
    """A sink that has what it was given."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.full = asyncio.Event()
        self.most = 0

    def append(self, record: Record) -> None:
        self.records.append(record)
        if len(self.records) == self.most:
            self.full.set()

    def restart(self, *_: Any) -> None:
        self.records.clear()


async def test_a_followed_tenant_gets_everything_in_order_and_its_child_ends_with_it() -> None:
    tail = Tail()
    tail.most = 500
    feeds: list[Feed] = []

    def begin(staged: StagedSink) -> Any:
        feeds.append(Feed(staged, tail.most))
        return feeds[-1].run

    async with supervised() as supervisor, asyncio.timeout(20.0):
        stages = Stages(supervisor, lambda _: FOREIGN, Buffer(20, 1 << 20))
        following = supervisor.start("feed-acme-1", stages.follow("acme", tail, begin))
        await tail.full.wait()
        assert [one.seq for one in tail.records] == list(range(1, 501))
        assert all_prepared(tail.records)
        assert stages.document() == {}
        assert any(name.startswith("hooks-acme-") for name in supervisor.names)
        following.cancel()
        await until(lambda: not supervisor.names, "the feed and its child end")
        assert feeds[0].ended


async def test_one_of_two_feeds_of_a_tenant_does_not_take_the_child_of_the_other() -> None:
    tails = [Tail(), Tail()]
    async with supervised() as supervisor, asyncio.timeout(20.0):
        stages = Stages(supervisor, lambda _: FOREIGN, Buffer())
        tasks = []
        for number, tail in enumerate(tails):
            tail.most = 3
            run = stages.follow("acme", tail, lambda staged: Feed(staged, 3).run)
            tasks.append(supervisor.start(f"feed-acme-{number}", run))
            await tail.full.wait()
        stage = stages._stage("acme")
        host = stage.host
        tasks[0].cancel()
        await asyncio.wait({tasks[0]}, timeout=5.0)
        assert stage.host is host is not None
        tasks[1].cancel()
        await asyncio.wait({tasks[1]}, timeout=5.0)
        assert stage.host is None
        await until(lambda: not [name for name in supervisor.names if name.startswith("hooks-")], "the child has ended")


async def test_a_tenant_that_is_removed_is_forgotten() -> None:
    async with supervised() as supervisor:
        stages = Stages(supervisor, lambda _: FOREIGN, Buffer())
        source = stages.source("acme", History([record(1, event="drop")]))
        await source.prepare([record(1, event="drop")])
        assert stages.document() == {"acme": {"dropped": 2}}
        stages.forget("acme")
        stages.forget("acme")
        assert stages.document() == {}
