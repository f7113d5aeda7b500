"""Three nodes, and what a process of ours does when one of them, or too many, are lost to it.

Every test ends with the same question: is each event that was acknowledged there, once, in order, without a gap told?
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager

import pytest
import pytest_asyncio

from slipstream.jetstream.api import ApiError
from slipstream.jetstream.bucket import Bucket
from slipstream.jetstream.lease_bucket import lease_bucket
from slipstream.jetstream.prober import Prober
from slipstream.jetstream.subjects import PROBE_STREAM, TICKETS_BUCKET, stream_of
from slipstream.jetstream.tickets import Tickets
from slipstream.protocol.errors import Code, SlipstreamError
from slipstream.quotas.grants import tenant_key
from slipstream.resilience.supervise import Supervisor
from tests.contract.pod import SHAPE, Message, Pod, Recording, flights, following, freeze, until
from tests.contract.test_leases import Process
from tests.faults.cluster import NODES, Cluster
from tests.faults.proxy import Weather
from tests.servers import NatsServer, wait_until

pytestmark = pytest.mark.asyncio(loop_scope="module")

_SECONDS = 15.0
"""A connection moves, and a stream has a new leader, within ten."""

_COPIES = SHAPE._replace(replicas=3)


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def cluster(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Cluster]:
    async with Cluster(tmp_path_factory.mktemp("cluster")).nats() as one:
        yield one


class Producer:
    """Publishes flights through a pod, one after the other, each until it is stored."""

    def __init__(self, pod: Pod, tenant: str) -> None:
        self._pod = pod
        self._tenant = tenant
        self.acked: list[int] = []
        self.refused: list[SlipstreamError] = []

    async def run(self) -> None:
        for message in flights(100_000):
            self.acked.append(await self._store(message))
            await asyncio.sleep(0.01)

    async def _store(self, message: Message) -> int:
        while True:
            try:
                topic, data, name = message
                return (await self._pod.publisher.publish(self._tenant, topic, data, message_id=name)).seq
            except SlipstreamError as error:
                self.refused.append(error)
                await asyncio.sleep(0.1)

    async def goes_on(self) -> None:
        """Wait for the acknowledgement of what is published from now on."""
        count = len(self.acked)
        await until(lambda: len(self.acked) > count + 1, "it is stored", seconds=_SECONDS)


class Scene:
    """A pod with its prober, a reader of a tenant, and a producer."""

    def __init__(self, pod: Pod, prober: Prober, sink: Recording, producer: Producer, tenant: str) -> None:
        self.pod = pod
        self.prober = prober
        self.sink = sink
        self.producer = producer
        self.tenant = tenant

    @property
    def servers(self) -> set[str]:
        """The names of the nodes that the pod's connections are at."""
        return {link.client.server_name for link in (self.pod.link, self.pod.feed_link)}

    async def leader(self) -> int:
        info = await self.pod.api.call(f"STREAM.INFO.{stream_of(self.tenant)}")
        return int(str(info["cluster"]["leader"]).removeprefix("nats-"))

    async def complete(self) -> None:
        """Nothing that was acknowledged is missing, nothing came twice, or out of order, and no gap was told."""
        await self.producer.goes_on()
        acked = list(self.producer.acked)  # it goes on meanwhile
        await until(lambda: self.sink.seqs[-1] >= acked[-1], "the reader has the last", seconds=_SECONDS)
        assert self.sink.seqs == list(range(self.sink.seqs[0], self.sink.seqs[-1] + 1))
        assert set(acked) <= set(self.sink.seqs)
        assert len(set(acked)) == len(acked), "stored twice"
        assert self.sink.reasons == [None]


async def make(pod: Pod, tenant: str) -> None:
    """The tenant's stream, as soon as the cluster has a leader again: the test before may have taken it away."""
    await made(lambda: pod.ensure(tenant, _COPIES))


async def made(make: Callable[[], Awaitable[object]]) -> None:
    """Make it, as soon as the cluster can: for some seconds after its birth it knows of no peers."""

    async def tried() -> bool:
        try:
            await make()
        except (SlipstreamError, ApiError):
            return False
        return True

    await wait_until(tried, seconds=_SECONDS, what="it is made")


@asynccontextmanager
async def scene(
    cluster: Cluster, tenant: str, *, at: int | None = None, led_by: int | None = None
) -> AsyncIterator[Scene]:
    """Everything runs. at: the node that the pod is connected to. led_by: that of the stream."""
    doors = [cluster.doors[0, node] for node in range(NODES)]
    for node, door in enumerate(doors):
        door.become(Weather(refused=at not in (None, node)))
    async with Pod(",".join(f"nats://127.0.0.1:{door.port}" for door in doors), tenant) as pod:
        for door in doors:
            door.clear()
        await make(pod, tenant)
        prober = Prober(pod.link, pod.feed_link, tenant)
        supervisor = Supervisor()
        supervisor.start("prober", prober.run)
        async with following(pod, tenant) as sink:
            producer = Producer(pod, tenant)
            supervisor.start("producer", producer.run)
            made = Scene(pod, prober, sink, producer, tenant)
            try:
                await producer.goes_on()
                await until(lambda: prober._proven, "the probe is answered")
                while led_by is not None and await made.leader() != led_by:
                    await pod.api.call(f"STREAM.LEADER.STEPDOWN.{stream_of(tenant)}")
                    await producer.goes_on()
                yield made
            finally:
                await supervisor.stop(5.0)


@pytest.fixture
def whole(cluster: Cluster) -> Iterator[None]:
    """What a test breaks is mended after it."""
    yield
    for proxy in cluster.routes.values():
        proxy.clear()


async def test_what_is_made_has_three_copies_in_a_cluster_and_one_on_a_server(
    cluster: Cluster, nats: NatsServer
) -> None:
    await _makes(",".join(cluster.urls), 3)
    await _makes(nats.url, 1)


async def _makes(urls: str, copies: int) -> None:
    async with Pod(urls) as pod:
        await made(Bucket(pod.api).ensure)
        await made(lease_bucket(pod.api).ensure)
        prober = Prober(pod.link, pod.feed_link, "copies")

        async def probed() -> bool:
            return await prober._ask(pod.link.client, 5.0) is None

        await wait_until(probed, seconds=_SECONDS, what="the probe is answered")
        for name in ("KV_slipstream_tenants", lease_bucket(pod.api).stream, PROBE_STREAM):
            info = await pod.api.call(f"STREAM.INFO.{name}")
            assert (name, info["config"]["num_replicas"]) == (name, copies)


async def test_what_the_nodes_cannot_hold_is_told_with_what_is_too_much(cluster: Cluster) -> None:
    """The number is the same for too few nodes, which may pass, and for too little room on them."""
    async with Pod(",".join(cluster.urls)) as pod:
        await make(pod, "modest")
        for shape, says in (
            (_COPIES._replace(replicas=5), "spec.replicas needs as many NATS servers that are up"),
            (_COPIES._replace(max_bytes=1 << 50), "NATS reserves max_bytes: "),
        ):
            with pytest.raises(SlipstreamError, match=r"\(10005\)") as refused:
                await pod.ensure("greedy", shape)
            assert says in refused.value.message
            assert refused.value.retry_after is not None


async def test_who_writes_while_another_write_is_being_copied_has_lost_to_it_and_no_more(cluster: Cluster) -> None:
    """The refusal has another number then than a moment later."""
    urls = ",".join(cluster.urls)
    async with Pod(urls, "one") as pod, Pod(urls, "two") as neighbour:
        bucket = lease_bucket(pod.api)
        await made(bucket.created)
        won = await asyncio.gather(*(bucket.create(f"race.{key}", b"1", 60) for key in range(10) for _ in range(5)))
        assert sum(won) == 10
        both = [Process(one) for one in (pod, neighbour)]
        await until(lambda: all(one.leases.holds for one in both), "they live", seconds=_SECONDS)
        keys = [tenant_key(f"race-{number}") for number in range(20)]
        entered = await asyncio.gather(*(one.enter(1, 5, key) for key in keys for one in both))
        for one in both:
            await one.die()
        assert entered == [(1, [])] * 40


async def test_the_key_of_tickets_that_is_being_copied_is_not_told_to_be_none(cluster: Cluster) -> None:
    """Whoever was first is not stored yet, and there is nothing to read: to remove the bucket would mend nothing."""
    async with Pod(",".join(cluster.urls)) as pod:
        await made(lambda: Tickets(pod.api).key(1))
        info = await pod.api.call(f"STREAM.INFO.KV_{TICKETS_BUCKET}")
    leader = int(str(info["cluster"]["leader"]).removeprefix("nats-"))
    async with Pod(cluster.nodes[leader].url) as pod:
        many = [Tickets(pod.api) for _ in range(3)]
        others = [node for number, node in enumerate(cluster.nodes) if number != leader]
        for node in others:
            await freeze(node)
        try:
            told = await asyncio.gather(*(one.key(2) for one in many), return_exceptions=True)
        finally:
            for node in others:
                node.resume()
        assert [one.code for one in told if isinstance(one, SlipstreamError)] == [Code.UPSTREAM_UNAVAILABLE] * 3, told
        assert "remove the bucket" not in str(told)
        await made(lambda: many[0].key(2))


async def test_a_share_that_cannot_be_copied_is_not_asked_for_without_a_pause(cluster: Cluster) -> None:
    async with Pod(",".join(cluster.urls)) as pod:
        await made(lease_bucket(pod.api).created)
        info = await pod.api.call(f"STREAM.INFO.{lease_bucket(pod.api).stream}")
    leader = int(str(info["cluster"]["leader"]).removeprefix("nats-"))
    async with Pod(cluster.nodes[leader].url, "one") as pod, Pod(cluster.nodes[leader].url, "two") as neighbour:
        both = [Process(one) for one in (pod, neighbour)]
        await until(lambda: all(one.leases.holds for one in both), "they live", seconds=_SECONDS)
        others = [node for number, node in enumerate(cluster.nodes) if number != leader]
        for node in others:
            await freeze(node)
        before = pod.link.client.stats["out_msgs"] + neighbour.link.client.stats["out_msgs"]
        try:
            answers = await asyncio.gather(*(one.enter(1, 5, tenant_key("stuck")) for one in both))
        finally:
            for node in others:
                node.resume()
        asked = pod.link.client.stats["out_msgs"] + neighbour.link.client.stats["out_msgs"] - before
        for one in both:
            await one.die()
        assert answers == [(0, [Code.UPSTREAM_UNAVAILABLE])] * 2
        assert asked < 400


@pytest.mark.usefixtures("whole")
async def test_a_pod_at_a_node_that_lost_the_others_moves_to_one_that_has_not(cluster: Cluster) -> None:
    """The node leads the stream, goes on answering what needs no quorum, and keeps its connections (measured)."""
    async with scene(cluster, "isolated", at=1, led_by=1) as running:
        assert running.servers == {"nats-1"}
        for route in cluster.around(1):
            route.become(Weather(held=True))
        await until(lambda: "nats-1" not in running.servers, "both connections are elsewhere", seconds=_SECONDS)
        await running.producer.goes_on()
        assert running.pod.link.client.is_connected
        await running.complete()


async def test_the_death_of_a_leader_is_over_in_seconds(cluster: Cluster) -> None:
    async with scene(cluster, "killed", at=0, led_by=2) as running:
        await cluster.nodes[2].kill()
        await running.complete()
        assert running.servers == {"nats-0"}, "it moved although its node is well"
    await cluster.nodes[2].start()


async def test_a_leader_that_stands_still_is_replaced(cluster: Cluster) -> None:
    async with scene(cluster, "frozen", at=0, led_by=2) as running:
        await freeze(cluster.nodes[2])
        try:
            await running.complete()
        finally:
            cluster.nodes[2].resume()
        await running.complete()


async def test_without_a_quorum_the_breaker_is_open_and_nothing_hops(cluster: Cluster) -> None:
    async with scene(cluster, "no-quorum", at=0) as running:
        upstream = running.prober.upstream
        assert running.prober.document()["state"] == "closed"
        for node in cluster.nodes[1:]:
            await freeze(node)
        try:
            await until(lambda: upstream.open, "the breaker opens", seconds=_SECONDS)
            assert running.prober.document()["reason"]
            assert running.pod.link.up, "core NATS is well"
            await until(lambda: upstream.state(time.monotonic()) == "half-open", "another probe is under way")
        finally:
            for node in cluster.nodes[1:]:
                node.resume()
        await until(lambda: not upstream.open, "the breaker closes", seconds=_SECONDS)
        await running.complete()
        assert (running.prober.document()["state"], upstream.openings) == ("closed", 1)
        assert (running.pod.link.replaced, running.servers) == (0, {"nats-0"})


@pytest.mark.usefixtures("whole")
async def test_a_leader_that_was_left_behind_is_not_believed(cluster: Cluster) -> None:
    """Its answers are from before: a reader who comes from the other side would be told that it is ahead of the log."""
    async with scene(cluster, "behind", at=1, led_by=1) as running, Pod(cluster.nodes[0].url, "other") as other:
        source = running.pod.source(running.tenant)
        async with Pod(cluster.nodes[1].url, "left") as left:
            stale = left.source(running.tenant)
            acked = running.producer.acked[-1]  # it goes on meanwhile
            assert (await stale.state()).last_seq >= acked
            for route in cluster.around(1):
                route.become(Weather(held=True))
            await running.producer.goes_on()
            newest = (await other.source(running.tenant).state()).last_seq
            info = await left.api.call(f"STREAM.INFO.{stream_of(running.tenant)}")
            assert info["state"]["last_seq"] < newest, "it still answers"
            for ask in (stale.state, lambda: stale.last_match(">")):
                with pytest.raises(SlipstreamError) as refused:
                    await ask()
                assert refused.value.code is Code.UPSTREAM_UNAVAILABLE
        await running.complete()
        assert (await source.state()).last_seq >= newest
