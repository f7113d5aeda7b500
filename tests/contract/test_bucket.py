"""The tenants' documents in their bucket, and a registry that follows it."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from slipstream.jetstream.bucket import Bucket, TenantFollower
from slipstream.jetstream.subjects import TENANTS_BUCKET
from slipstream.protocol.errors import Code, SlipstreamError
from slipstream.tenants.document import TenantError, from_json, to_json
from slipstream.tenants.model import Tenant, TenantSpec
from slipstream.tenants.registry import Registry
from tests.contract.pod import Pod, ended, freeze, until
from tests.servers import NatsServer

_STREAM = f"KV_{TENANTS_BUCKET}"


def tenant_of(name: str, event_bytes: int | None = None) -> Tenant:
    return Tenant.of(name, TenantSpec(event_bytes=event_bytes))


async def remove_bucket(pod: Pod) -> None:
    await pod.api.call(f"STREAM.DELETE.{_STREAM}")


@pytest.fixture
async def bucket(pod: Pod) -> AsyncIterator[Bucket]:
    one = Bucket(pod.api)
    await one.ensure()
    yield one
    await remove_bucket(pod)


@asynccontextmanager
async def followed(pod: Pod) -> AsyncIterator[Registry]:
    """A registry that follows the bucket and was loaded once."""
    registry = Registry()
    task = asyncio.create_task(TenantFollower(pod.api, pod.feed_api, "pod", registry).run(), name="tenants")
    try:
        await until(lambda: registry.loaded, "the tenants are loaded")
        yield registry
        assert not task.done(), task
    finally:
        await ended(task)


async def write(pod: Pod, name: str, value: bytes, operation: str | None = None) -> None:
    """Past the bucket's own checks."""
    headers = None if operation is None else {"KV-Operation": operation}
    answer = await pod.api.request(f"$KV.{TENANTS_BUCKET}.{name}", value, headers)
    assert b'"seq"' in answer, answer


# -- read and write


async def test_without_a_bucket_it_says_how_to_make_one(pod: Pod) -> None:
    bucket = Bucket(pod.api)
    for question in (bucket.get("acme"), bucket.list(), bucket.delete("acme"), bucket.put(tenant_of("acme"))):
        with pytest.raises(SlipstreamError, match="slipstream tenant apply") as refused:
            await question
        assert refused.value.code is Code.NOT_FOUND


async def test_a_document_is_written_read_changed_listed_and_removed(bucket: Bucket) -> None:
    assert await bucket.list() == []
    assert await bucket.get("acme") is None
    assert await bucket.put(tenant_of("acme"))
    assert not await bucket.put(tenant_of("acme")), "it stood there already"
    assert await bucket.put(tenant_of("acme", 2048))
    assert await bucket.get("acme") == tenant_of("acme", 2048)
    assert await bucket.put(tenant_of("aaa"))
    assert await bucket.list() == [tenant_of("aaa"), tenant_of("acme", 2048)]
    assert await bucket.delete("acme")
    assert not await bucket.delete("acme")
    assert await bucket.get("acme") is None
    assert await bucket.list() == [tenant_of("aaa")]
    assert await bucket.put(tenant_of("acme")), "after a removal"
    assert await bucket.get("acme") == tenant_of("acme")


async def test_an_existing_bucket_is_left_as_it_is(bucket: Bucket, pod: Pod) -> None:
    await bucket.put(tenant_of("acme"))
    config = (await pod.api.call(f"STREAM.INFO.{_STREAM}"))["config"]
    await pod.api.call(f"STREAM.UPDATE.{_STREAM}", config | {"description": "changed by hand"})
    before = await pod.api.call(f"STREAM.INFO.{_STREAM}")
    await bucket.ensure()
    after = await pod.api.call(f"STREAM.INFO.{_STREAM}")
    assert (after["config"], after["created"]) == (before["config"], before["created"])


async def test_those_who_make_it_at_once_agree(nats: NatsServer, pod: Pod) -> None:
    async with Pod(nats.url, "other") as other:
        await asyncio.gather(*(Bucket(one.api).ensure() for one in (pod, other, pod, other)))
    await remove_bucket(pod)


async def test_racing_writers_are_all_heard(bucket: Bucket, nats: NatsServer, pod: Pod) -> None:
    async with Pod(nats.url, "other") as other:
        writers = [Bucket(one.api) for one in (pod, other, pod)]
        for round_ in range(5):
            sizes = [1024 + 10 * round_ + number for number in range(len(writers))]
            pairs = zip(writers, sizes, strict=True)
            await asyncio.gather(*(writer.put(tenant_of("acme", size)) for writer, size in pairs))
            found = await bucket.get("acme")
            assert found is not None
            assert found.spec.event_bytes in sizes
    info = await pod.api.call(f"STREAM.INFO.{_STREAM}")
    assert info["state"]["last_seq"] == 15, "each was written once"


async def test_a_writer_that_always_loses_gives_up(bucket: Bucket, pod: Pod, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody else writes between each of its looks and its write."""
    get = bucket._kv.get
    sizes = iter(range(1024, 2048))

    async def get_then_lose(key: str) -> object:
        try:
            return await get(key)
        finally:
            await write(pod, key, b"%d" % next(sizes))

    monkeypatch.setattr(bucket._kv, "get", get_then_lose)
    with pytest.raises(SlipstreamError, match="changed by somebody else") as refused:
        await bucket.put(tenant_of("acme"))
    assert refused.value.code is Code.UPSTREAM_UNAVAILABLE


async def test_a_broken_document_is_told_and_can_be_replaced_and_removed(bucket: Bucket, pod: Pod) -> None:
    await write(pod, "acme", b"{}")
    with pytest.raises(TenantError):
        await bucket.get("acme")
    await bucket.put(tenant_of("healthy"))
    assert [one.name for one in await bucket.list()] == ["healthy"]  # one broken document hides no other
    assert await bucket.delete("healthy")
    assert await bucket.delete("acme")
    await write(pod, "acme", b"")
    with pytest.raises(TenantError):
        await bucket.get("acme")
    assert await bucket.delete("acme"), "what says nothing is no removal: the edges go by what stood there before"
    await write(pod, "acme", b"\xff")
    assert await bucket.put(tenant_of("acme"))
    assert await bucket.get("acme") == tenant_of("acme")


async def test_many_documents_are_listed(bucket: Bucket, pod: Pod) -> None:
    names = [f"tenant-{number}" for number in range(600)]
    await asyncio.gather(*(bucket.put(tenant_of(name)) for name in names))
    assert [one.name for one in await bucket.list()] == sorted(names)


@pytest.mark.parametrize("how", ["frozen", "dead"])
async def test_a_server_that_is_away_is_told(nats: NatsServer, bucket: Bucket, pod: Pod, how: str) -> None:
    await bucket.put(tenant_of("acme"))
    if how == "frozen":
        await freeze(nats)
    else:
        await nats.kill()
    pod.api.timeout = 0.5
    errors = await asyncio.gather(bucket.get("acme"), bucket.put(tenant_of("b")), return_exceptions=True)
    assert [error.code for error in errors if isinstance(error, SlipstreamError)] == [Code.UPSTREAM_UNAVAILABLE] * 2
    if how == "frozen":
        nats.resume()
    else:
        await nats.start()
    await until(lambda: pod.link.up, "the pod is back")
    assert await bucket.get("acme") == tenant_of("acme")


# -- follow


async def test_an_empty_bucket_is_loaded(bucket: Bucket, pod: Pod) -> None:
    async with followed(pod) as registry:
        assert dict(registry.snapshot) == {}


async def test_the_registry_is_whole_from_the_first_moment_and_follows(bucket: Bucket, pod: Pod) -> None:
    for name in ("a", "b", "c"):
        await bucket.put(tenant_of(name))
    await bucket.put(tenant_of("b", 2048))
    await bucket.delete("c")
    async with followed(pod) as registry:
        assert dict(registry.snapshot) == {"a": tenant_of("a"), "b": tenant_of("b", 2048)}
        told: list[frozenset[str]] = []
        registry.subscribe(told.append)
        await bucket.put(tenant_of("d"))
        await bucket.put(tenant_of("a", 4096))
        await bucket.delete("b")
        await until(lambda: registry.get("b") is None, "the removal is seen")
        assert dict(registry.snapshot) == {"a": tenant_of("a", 4096), "d": tenant_of("d")}
        assert told == [frozenset({"d"}), frozenset({"a"}), frozenset({"b"})]


async def test_many_tenants_are_loaded_at_once(bucket: Bucket, pod: Pod) -> None:
    names = [f"tenant-{number}" for number in range(600)]
    await asyncio.gather(*(bucket.put(tenant_of(name)) for name in names))
    swaps: list[frozenset[str]] = []
    registry = Registry()
    registry.subscribe(swaps.append)
    task = asyncio.create_task(TenantFollower(pod.api, pod.feed_api, "pod", registry).run())
    await until(lambda: registry.loaded, "the tenants are loaded")
    await ended(task)
    assert swaps == [frozenset(names)]


async def test_before_there_is_a_bucket_it_waits(pod: Pod) -> None:
    registry = Registry()
    task = asyncio.create_task(TenantFollower(pod.api, pod.feed_api, "pod", registry).run())
    bucket = Bucket(pod.api)
    await bucket.ensure()
    await bucket.put(tenant_of("acme"))
    await until(lambda: registry.get("acme") is not None, "the tenant is known")
    await ended(task)
    await remove_bucket(pod)


@pytest.mark.parametrize("left", [0, 1])
async def test_a_bucket_whose_newest_message_was_purged_is_loaded(bucket: Bucket, pod: Pod, left: int) -> None:
    """As `nats kv compact` leaves it: its last sequence is of no message that will ever come."""
    if left:
        await bucket.put(tenant_of("stays"))
    await bucket.put(tenant_of("goes"))
    await bucket.delete("goes")
    await pod.api.call(f"STREAM.PURGE.{_STREAM}", {"filter": f"$KV.{TENANTS_BUCKET}.goes"})
    async with followed(pod) as registry:
        assert list(registry.snapshot) == ["stays"] * left


@pytest.mark.parametrize(
    "value", [b"", b"{}", b"\xff", b"[1]", b'{"apiVersion":"v9","kind":"Tenant","metadata":{"name":"acme"}}']
)
async def test_a_broken_document_takes_nothing_away(
    bucket: Bucket, pod: Pod, nats: NatsServer, caplog: pytest.LogCaptureFixture, value: bytes
) -> None:
    await bucket.put(tenant_of("acme"))
    async with followed(pod) as registry:
        await write(pod, "acme", value)
        await bucket.put(tenant_of("next"))
        await until(lambda: registry.get("next") is not None, "what came after it is seen")
        assert registry.get("acme") == tenant_of("acme")
        assert "'acme' is broken and ignored" in caplog.text
        caplog.clear()
        # Nor when all is read again.
        await nats.kill()
        await nats.start()
        await until(lambda: "'acme' is broken and ignored" in caplog.text, "it is read again")
        await until(lambda: pod.link.up, "the pod is back")
        await bucket.put(tenant_of("last"))
        await until(lambda: registry.get("last") is not None, "what came after it is seen")
        assert registry.get("acme") == tenant_of("acme")
        caplog.clear()


async def test_a_document_under_another_name_is_ignored(
    bucket: Bucket, pod: Pod, caplog: pytest.LogCaptureFixture
) -> None:
    """Else one key could change another tenant, and which of the two holds would depend on who reads when."""
    await bucket.put(tenant_of("victim"))
    await write(pod, "attacker", to_json(tenant_of("victim", 1024)))
    async with followed(pod) as registry:
        await write(pod, "other", to_json(tenant_of("new")))
        await bucket.put(tenant_of("last"))
        await until(lambda: registry.get("last") is not None, "what came after it is seen")
        assert dict(registry.snapshot) == {"last": tenant_of("last"), "victim": tenant_of("victim")}
    assert caplog.text.count("is broken and ignored") == 2
    caplog.clear()


async def test_a_restart_of_the_server_changes_nothing(nats: NatsServer, bucket: Bucket, pod: Pod) -> None:
    for name in ("a", "b"):
        await bucket.put(tenant_of(name))
    async with followed(pod) as registry:
        told: list[frozenset[str]] = []
        registry.subscribe(told.append)
        await nats.kill()
        await nats.start()
        await until(lambda: pod.link.up, "the pod is back")
        await bucket.put(tenant_of("c"))
        await until(lambda: registry.get("c") is not None, "the new one is seen")
        assert sorted(registry.snapshot) == ["a", "b", "c"]
        assert told == [frozenset({"c"})]


async def test_what_changed_while_it_was_away_is_told_at_once(bucket: Bucket, pod: Pod) -> None:
    for name in ("a", "b"):
        await bucket.put(tenant_of(name))
    registry = Registry()
    follower = TenantFollower(pod.api, pod.feed_api, "pod", registry)
    task = asyncio.create_task(follower.run())
    await until(lambda: registry.loaded, "the tenants are loaded")
    await ended(task)
    told: list[frozenset[str]] = []
    registry.subscribe(told.append)
    await bucket.delete("a")
    await bucket.put(tenant_of("b", 2048))
    await bucket.put(tenant_of("c"))
    task = asyncio.create_task(follower.run())
    await until(lambda: bool(told), "the change is seen")
    await ended(task)
    assert told == [frozenset({"a", "b", "c"})]
    assert sorted(registry.snapshot) == ["b", "c"]


async def test_a_bucket_made_anew_replaces_what_was_known(pod: Pod, caplog: pytest.LogCaptureFixture) -> None:
    bucket = Bucket(pod.api)
    await bucket.ensure()
    for name in ("a", "b"):
        await bucket.put(tenant_of(name))
    async with followed(pod) as registry:
        with caplog.at_level(logging.WARNING):
            await remove_bucket(pod)
            await until(lambda: "cannot start" in caplog.text, "it has noticed")
        assert sorted(registry.snapshot) == ["a", "b"], "a lost bucket takes no tenant away"
        await bucket.ensure()
        await bucket.put(tenant_of("c"))
        await until(lambda: registry.get("c") is not None, "the new one is read")
        await until(lambda: sorted(registry.snapshot) == ["c"], "the old ones are gone")
    await remove_bucket(pod)


async def test_a_bucket_made_anew_while_the_consumer_was_made_is_noticed(
    pod: Pod, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else it would wait for the last number of the old one before it believes what it has read."""
    bucket = Bucket(pod.api)
    await bucket.ensure()
    for name in ("a", "b", "c"):
        await bucket.put(tenant_of(name))
    registry = Registry()
    follower = TenantFollower(pod.api, pod.feed_api, "pod", registry)
    locate = follower._follower._feed._locate
    located: list[int] = []

    async def locate_then_replace(last: int | None) -> int:
        base = await locate(last)
        if not located:
            located.append(base)
            await remove_bucket(pod)
            await bucket.ensure()
            await bucket.put(tenant_of("new"))
        return base

    monkeypatch.setattr(follower._follower._feed, "_locate", locate_then_replace)
    task = asyncio.create_task(follower.run())
    await until(lambda: registry.get("new") is not None, "the new bucket is read")
    assert sorted(registry.snapshot) == ["new"]
    await ended(task)
    await remove_bucket(pod)


async def test_documents_are_read_as_they_were_written(bucket: Bucket) -> None:
    text = '{"apiVersion":"slipstream.dev/v1alpha1","kind":"Tenant","metadata":{"name":"acme"},"spec":{"replicas":3}}'
    await bucket.put(from_json(text))
    assert await bucket.get("acme") == from_json(text)
