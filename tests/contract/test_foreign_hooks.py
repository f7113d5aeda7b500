"""A tenant's foreign hooks between a real feed and its tail: nothing lost, in order, and nobody else notices."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest

from slipstream.hooks.sink import Buffer, StagedSink
from slipstream.hooks.stage import Setup
from slipstream.hooks.stages import Run, Stages
from slipstream.hooks.wire import Plan
from slipstream.jetstream import stream as streams
from slipstream.jetstream.follow import Follower
from slipstream.log.source import Source
from slipstream.protocol.control import Reason
from slipstream.protocol.event import Record
from slipstream.resilience.supervise import Supervisor
from slipstream.shape.event import Event, SecretMissing, Withheld
from slipstream.shape.shaper import Shaper, make_shaper
from slipstream.tenants.model import Tenant, TenantSpec
from slipstream.tenants.shaping import HookSpec
from tests.contract.pod import Pod, Recording, flights, until
from tests.contract.reading import no_consumers
from tests.integration.hooks.package import install
from tests.servers import NatsServer

_NOBODY: frozenset[str] = frozenset()
_PLAIN = "plain"


@pytest.fixture(autouse=True)
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, monkeypatch)


@pytest.fixture
async def plain(pod: Pod, tenant: str) -> str:
    """A second tenant, without hooks."""
    name = f"{_PLAIN}-{tenant}"
    await pod.ensure(name)
    return name


def no_secret(*names: str) -> bytes:
    raise SecretMissing(str(names))


def shaper(tenant: str, *hooks: HookSpec) -> Shaper:
    return make_shaper(Tenant.of(tenant, TenantSpec(hooks=hooks)), no_secret, {}, {}, foreign=("obey",))


class Hooked:
    """What the composition root makes of a pod: a stage and a feed for each tenant."""

    def __init__(
        self, pod: Pod, supervisor: Supervisor, config: dict[str, Any], budget_ms: float, buffer: Buffer
    ) -> None:
        self.pod = pod
        self.supervisor = supervisor
        self.followers: dict[str, Follower] = {}
        self.buffered: dict[str, StagedSink] = {}
        self._setups: dict[str, Setup] = {}
        self._obey = HookSpec(name="obey", config=config)
        self._budget_ms = budget_ms
        self.stages = Stages(supervisor, self._setup, buffer)

    def _setup(self, tenant: str) -> Setup:
        if tenant not in self._setups:
            hooks = () if tenant.startswith(_PLAIN) else (self._obey,)
            plan = Plan(tenant, hooks, self._budget_ms)
            self._setups[tenant] = Setup(shaper(tenant, *hooks), lambda: plan, no_secret)
        return self._setups[tenant]

    async def follow(self, tenant: str) -> Recording:
        pod = self.pod

        def begin(staged: StagedSink) -> Run:
            source = pod.source(tenant)
            follower = Follower(pod.api, pod.feed_api, source, pod.name, staged, staged.room)
            self.followers[tenant] = follower
            self.buffered[tenant] = staged
            return follower.run

        sink = Recording()
        self.supervisor.start(f"feed-{tenant}", self.stages.follow(tenant, sink, begin))
        await sink.began()
        return sink

    def source(self, tenant: str) -> Source:
        return self.stages.source(tenant, self.pod.source(tenant))


@asynccontextmanager
async def hooked(
    pod: Pod, *, budget_ms: float = 5_000.0, buffer: Buffer | None = None, **config: Any
) -> AsyncIterator[Hooked]:
    supervisor = Supervisor()
    try:
        yield Hooked(pod, supervisor, config, budget_ms, buffer or Buffer())
        assert supervisor.restarts == 0
    finally:
        await supervisor.stop(5.0)


async def burst(pod: Pod, tenant: str, count: int) -> None:
    """Publish the first flights as fast as the server takes them."""
    messages = list(flights(count))
    for start in range(0, count, 250):
        await asyncio.gather(*(pod.put(tenant, one.topic, one.data) for one in messages[start : start + 250]))


def made(record: Record) -> object:
    """What the readers without scopes get of it."""
    assert record.shaped is not None
    return record.shaped[_NOBODY]


async def test_a_slow_hook_loses_nothing_and_slows_nobody_else(
    nats: NatsServer, pod: Pod, tenant: str, plain: str, tmp_path: Path
) -> None:
    total, beside = 5_000, 50
    gate = tmp_path / "gate"
    async with hooked(pod, budget_ms=50_000.0, buffer=Buffer(200, 1 << 20), gate=str(gate)) as edge:
        slow, quick = await edge.follow(tenant), await edge.follow(plain)
        await burst(pod, tenant, total)
        for number, (topic, data, _) in enumerate(flights(beside), 1):
            await pod.publisher.publish(plain, topic, data)
            await quick.has(number)
        # The one stands still, and each event of the other came before the next was sent.
        assert slow.records == []
        feed = edge.followers[tenant].feed
        assert len(edge.buffered[tenant]) == 200
        assert feed.resets == 0
        gate.touch()
        await slow.has(total, seconds=50.0)
        assert feed.resets > 0
        assert edge.followers[plain].feed.resets == 0
    assert slow.seqs == list(range(1, total + 1))
    assert slow.reasons == quick.reasons == [None]
    assert all(isinstance(made(one), Event) for one in slow.records)
    assert [one.shaped for one in quick.records] == [None] * beside
    await no_consumers(pod, tenant)


async def test_whatever_a_hook_does_costs_its_own_event_alone(pod: Pod, tenant: str) -> None:
    misdeeds = ["raise", "sleep", "", "spin", "exit", "die", "print", "", "garbage", "nonsense", "allocate", ""]
    async with hooked(pod, budget_ms=500.0) as edge:
        sink = await edge.follow(tenant)
        for misdeed in misdeeds:
            await pod.publisher.publish(tenant, "a.b", orjson.dumps({"do": misdeed}), event=misdeed)
        await sink.has(len(misdeeds), seconds=40.0)
        counts = edge.stages.document()[tenant]
    assert sink.seqs == list(range(1, len(misdeeds) + 1))
    assert sink.reasons == [None]
    for record in sink.records:
        outcome = made(record)
        if record.event in ("", "print"):
            assert isinstance(outcome, Event)
            assert outcome.data == record.data.upper()
        else:
            assert isinstance(outcome, Withheld), record.event
            assert "DO" not in outcome.reason.upper().split()
    assert sum(counts.values()) == len([one for one in misdeeds if one not in ("", "print")])
    assert counts["died"] == 2
    assert counts["garbage"] == 1
    # Memory without end is a MemoryError, or takes too long: both are told.
    assert (counts["raised"], counts["late"]) in {(3, 2), (2, 3)}


async def test_a_stream_made_anew_is_told_after_what_the_hooks_still_have(pod: Pod, tenant: str) -> None:
    async with hooked(pod, pause=0.005, buffer=Buffer(50, 1 << 20)) as edge:
        sink = await edge.follow(tenant)
        await burst(pod, tenant, 200)
        await sink.has(10)
        await streams.remove(pod.api, tenant)
        found = await pod.ensure(tenant)
        await burst(pod, tenant, 15)
        await until(lambda: len(sink.told) == 2 and len(sink.records) == sink.told[1].after + 15, "the new stream's")
    told = sink.told[1]
    assert (told.state.epoch, told.base, told.reason) == (found.state.epoch, 0, Reason.reset)
    assert sink.seqs == [*range(1, told.after + 1), *range(1, 16)]
    epochs = [str(getattr(made(one), "id", ""))[:8] for one in sink.records]
    assert epochs == [sink.told[0].state.epoch] * told.after + [found.state.epoch] * 15


async def test_a_server_that_comes_back_while_the_hooks_are_behind(nats: NatsServer, pod: Pod, tenant: str) -> None:
    async with hooked(pod, pause=0.002, buffer=Buffer(50, 1 << 20)) as edge:
        sink = await edge.follow(tenant)
        await burst(pod, tenant, 500)
        await sink.has(20)
        await nats.kill()
        await nats.start()
        await sink.has(500, seconds=30.0)
    assert sink.seqs == list(range(1, 501))
    assert sink.reasons == [None]


async def test_history_is_prepared_beside_a_busy_feed(pod: Pod, tenant: str) -> None:
    async with hooked(pod, pause=0.001) as edge:
        sink = await edge.follow(tenant)
        await burst(pod, tenant, 300)
        source, found = edge.source(tenant), list[Record]()
        async with asyncio.timeout(20.0):
            while len(found) < 300:
                batch = await source.read(">", found[-1].seq if found else 0, 512)
                found += await source.prepare(batch.records)
        await sink.has(300)
    assert [one.seq for one in found] == list(range(1, 301))
    assert [made(one) for one in found] == [made(one) for one in sink.records]
