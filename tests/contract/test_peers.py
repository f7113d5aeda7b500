"""What processes ask one another over a real server: one by name, all at once, and whoever does not answer."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from slipstream.jetstream.peers import Peers
from slipstream.protocol.errors import Code, SlipstreamError
from slipstream.resilience.context import TENANT, TRACE_ID
from slipstream.resilience.peers import Document
from tests.contract.pod import Pod, until
from tests.servers import NatsServer

ALIVE = frozenset({"a", "b"})


class Process:
    """One that answers `name` with its own, and counts the questions."""

    def __init__(self, pod: Pod, name: str, living: frozenset[str]) -> None:
        self.pod = pod
        self.peers = Peers(pod.api, name, lambda: living)
        self.asked: list[Document] = []
        self.name = name
        self.peers.on("name", self._answer)
        self.peers.on("refuse", self._refuse)
        self.peers.on("break", self._break)

    async def _answer(self, question: Document) -> Document:
        self.asked.append(question)
        return {"name": self.name}

    async def _refuse(self, question: Document) -> Document:
        raise SlipstreamError(Code.FORBIDDEN, f"not {question['what']}", retry_after=2.5)

    async def _break(self, question: Document) -> Document:
        raise KeyError(str(question))


@asynccontextmanager
async def processes(url: str, *names: str, living: frozenset[str] | None = None) -> AsyncIterator[list[Process]]:
    everybody = frozenset(names) if living is None else living
    async with AsyncExitStack() as stack:
        found = [Process(await stack.enter_async_context(Pod(url, name)), name, everybody) for name in names]
        tasks = [asyncio.create_task(one.peers.run(), name=one.name) for one in found]
        try:
            for one in found:
                await heard(found[0], one.name)
            for one in found:
                one.asked.clear()
            yield found
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def heard(asker: Process, name: str) -> None:
    """Wait until the process `name` answers."""
    async with asyncio.timeout(10):
        while True:
            try:
                await asker.peers.ask(name, "name", {})
            except SlipstreamError:
                await asyncio.sleep(0.02)
            else:
                return


async def test_one_is_asked_by_its_name_and_answers_or_refuses(nats: NatsServer) -> None:
    async with processes(nats.url, "a", "b") as (a, b):
        assert await a.peers.ask("b", "name", {"x": [1, None]}) == {"name": "b"}
        assert b.asked == [{"x": [1, None]}]
        assert await a.peers.ask("a", "name", {}) == {"name": "a"}
        for process in ("a", "b"):
            with pytest.raises(SlipstreamError) as refused:
                await a.peers.ask(process, "refuse", {"what": "you"})
            error = refused.value
            assert (error.code, error.message, error.status, error.retry_after) == (
                Code.FORBIDDEN,
                "not you",
                403,
                2.5,
            )


async def test_who_is_not_there_and_what_is_not_known(nats: NatsServer) -> None:
    async with processes(nats.url, "a", "b") as (a, _):
        for process, kind in (("c", "name"), ("b", "future"), ("a", "future")):
            with pytest.raises(SlipstreamError) as unknown:
                await a.peers.ask(process, kind, {})
            assert unknown.value.code is Code.NOT_FOUND


async def test_a_fault_of_another_process_is_an_answer(nats: NatsServer, caplog: pytest.LogCaptureFixture) -> None:
    async with processes(nats.url, "a", "b") as (a, _):
        with pytest.raises(SlipstreamError) as failed:
            await a.peers.ask("b", "break", {"secret": 1})
        assert failed.value.code is Code.INTERNAL
        assert "secret" not in failed.value.message
        assert await a.peers.ask("b", "name", {}) == {"name": "b"}, "it goes on"
    caplog.clear()


async def test_whose_request_it_is_goes_with_the_question(nats: NatsServer) -> None:
    async with processes(nats.url, "a", "b") as (a, b):
        whose: list[tuple[str | None, str | None]] = []

        async def note(question: Document) -> Document:
            whose.append((TENANT.get(), TRACE_ID.get()))
            return question

        b.peers.on("whose", note)
        await a.peers.ask("b", "whose", {})
        TENANT.set("acme")
        TRACE_ID.set("0af7651916cd43dd8448eb211c80319c")
        await a.peers.ask("b", "whose", {})
        assert whose == [(None, None), ("acme", "0af7651916cd43dd8448eb211c80319c")]


async def test_all_are_asked_and_each_answers_once(nats: NatsServer) -> None:
    async with processes(nats.url, "a", "b", "c") as (a, b, c):
        gathered = await a.peers.gather("name", {})
        assert gathered == ({name: {"name": name} for name in "abc"}, ())
        assert [len(one.asked) for one in (b, c)] == [1, 1]


async def test_who_lives_and_says_nothing_is_named_after_a_second(nats: NatsServer) -> None:
    async with processes(nats.url, "a", "b", living=ALIVE | {"dead", "mute"}) as (a, _):
        loop = asyncio.get_running_loop()
        began = loop.time()
        gathered = await a.peers.gather("name", {})
        assert set(gathered.answers) == ALIVE
        assert gathered.missing == ("dead", "mute")
        assert 1.0 <= loop.time() - began < 5


async def test_alone_nobody_is_waited_for(nats: NatsServer) -> None:
    async with processes(nats.url, "a") as (a,):
        await nats.kill()
        assert await a.peers.gather("name", {}) == ({"a": {"name": "a"}}, ())


async def test_without_nats_there_is_our_own_answer_and_the_others_are_missing(nats: NatsServer) -> None:
    async with processes(nats.url, "a", "b") as (a, _):
        await nats.kill()
        await until(lambda: not a.pod.link.up, "NATS is gone")
        gathered = await a.peers.gather("name", {})
        assert (set(gathered.answers), gathered.missing) == ({"a"}, ("b",))
        with pytest.raises(SlipstreamError) as away:
            await a.peers.ask("b", "name", {})
        assert away.value.code is Code.UPSTREAM_UNAVAILABLE


async def test_they_hear_one_another_again_after_nats_was_away(nats: NatsServer) -> None:
    async with processes(nats.url, "a", "b") as (a, _):
        await nats.kill()
        await until(lambda: not a.pod.link.up, "NATS is gone")
        await nats.start()
        await heard(a, "b")
        assert (await a.peers.gather("name", {})).missing == ()


async def test_a_connection_that_was_replaced_hears_too(nats: NatsServer) -> None:
    async with processes(nats.url, "a", "b") as (a, b):
        await b.pod.link._replace("the test says so")
        await heard(a, "b")


async def test_a_tenant_whose_questions_wait_leaves_places_to_the_others(
    nats: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("slipstream.jetstream.peers._UNDER_WAY", 9)
    async with processes(nats.url, "a", "b") as (a, b):
        gate, begun = asyncio.Event(), 0

        async def wait(_: Document) -> Document:
            nonlocal begun
            begun += 1
            await gate.wait()
            return {}

        async def ask(tenant: str | None, kind: str = "wait") -> Document:
            TENANT.set(tenant)
            return await a.peers.ask("b", kind, {}, more=30)

        b.peers.on("wait", wait)
        suspected: list[str] = []
        a.pod.link.on_suspicion = suspected.append
        first = [asyncio.create_task(ask("acme"), name="acme") for _ in range(20)]
        await until(lambda: sum(task.done() for task in first) == 15, "those without a place are told so")
        for task in first:
            if task.done():
                error = task.exception()
                assert isinstance(error, SlipstreamError)
                assert (error.code, error.retry_after) == (Code.OVERLOADED, 2.0)
        assert begun == 5
        second = [asyncio.create_task(ask(tenant), name="others") for tenant in ("other", "other", "third", None)]
        await until(lambda: begun == 9, "the others have places")
        with pytest.raises(SlipstreamError):
            await ask("fourth", "name")
        gate.set()
        done = await asyncio.gather(*first, *second, return_exceptions=True)
        assert sum(one == {} for one in done) == 9
        assert await ask("acme", "name") == {"name": "b"}
        assert not b.peers._asked_for
        assert not suspected


async def test_more_time_is_given_to_who_may_need_it(nats: NatsServer) -> None:
    async with processes(nats.url, "a", "b") as (a, b):

        async def slow(question: Document) -> Document:
            await asyncio.sleep(0.6)
            return question

        b.peers.on("slow", slow)
        a.pod.api.timeout = 0.3
        with pytest.raises(SlipstreamError) as away:
            await a.peers.ask("b", "slow", {"x": 1})
        assert away.value.code is Code.UPSTREAM_UNAVAILABLE
        assert await a.peers.ask("b", "slow", {"x": 1}, more=5) == {"x": 1}
