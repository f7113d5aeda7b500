"""What is asked while nobody leads.

A server without JetStream leaves its subjects free: a responder answers there as a cluster does that elects, and the
real link, API and feed ask it.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import nats
import orjson
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from slipstream.jetstream import prober as probers
from slipstream.jetstream.api import Api
from slipstream.jetstream.feed import Feed
from slipstream.jetstream.prober import Prober
from slipstream.jetstream.subjects import PROBE_STREAM
from slipstream.protocol.errors import Code, SlipstreamError
from tests.contract.pod import Pod, ended, until
from tests.contract.test_no_jetstream import bare

INFO = {"config": {"name": "SSE_acme", "num_replicas": 3}, "cluster": {"leader": "nats-1", "replicas": [{}, {}]}}
NONE = {"error": {"code": 404, "err_code": 10014, "description": "consumer not found"}}
AWAY = {"error": {"code": 503, "err_code": 10008, "description": "JetStream system temporarily unavailable"}}

Answer = Callable[[str, int], Any]
"""Given the verb and how often it was asked before: what is answered, None for nothing."""


class Electing:
    """Answers `$JS.API`, and notes what it was asked: verb and consumer."""

    def __init__(self, client: Client, answer: Answer) -> None:
        self.client = client
        self.asked: list[tuple[str, str]] = []
        self._answer = answer

    async def take(self, message: Msg) -> None:
        parts = message.subject.split(".")
        verb = ".".join(parts[2:4])
        answer = self._answer(verb, sum(one == verb for one, _ in self.asked))
        self.asked.append((verb, parts[-1]))
        if answer is not None and message.reply:
            await message.respond(orjson.dumps(answer))

    def consumers(self, verb: str) -> list[str]:
        """The names in the questions of one verb."""
        return [name for one, name in self.asked if one == verb]


@asynccontextmanager
async def electing(folder: Path, answer: Answer) -> AsyncIterator[tuple[Electing, Pod]]:
    async with bare(folder) as server, Pod(server.url) as pod:
        client = await nats.connect(server.url)
        cluster = Electing(client, answer)
        try:
            await client.subscribe("$JS.API.>", cb=cluster.take)
            # What comes back over the same connection says that the server has read all before it; `flush` does not.
            ready = await client.subscribe("ready")
            await client.publish("ready")
            await ready.next_msg(timeout=5.0)
            yield cluster, pod
        finally:
            await client.close()


@pytest.mark.parametrize("useless", [None, AWAY], ids=["silence", "unavailable"])
async def test_a_question_of_before_the_election_is_answered_after_it(tmp_path: Path, useless: object) -> None:
    def answer(_: str, before: int) -> object:
        return useless if before < 3 else INFO

    async with electing(tmp_path, answer) as (cluster, pod):
        assert await pod.api.call("STREAM.INFO.SSE_acme") == INFO
        assert len(cluster.asked) == 4


async def test_what_changes_something_is_asked_once(tmp_path: Path) -> None:
    async with electing(tmp_path, lambda *_: None) as (cluster, pod):
        with pytest.raises(SlipstreamError) as refused:
            await pod.api.call("STREAM.UPDATE.SSE_acme", {})
        assert refused.value.code is Code.UPSTREAM_UNAVAILABLE
        assert cluster.asked == [("STREAM.UPDATE", "SSE_acme")]


async def test_a_consumer_that_a_dead_node_was_given_is_not_waited_for_but_another_made(tmp_path: Path) -> None:
    """And not before somebody is there to place it: for the second one is asked in vain, as after a leader's death."""

    def answer(verb: str, before: int) -> object:
        if verb == "CONSUMER.INFO":
            return NONE if before >= 2 else None
        return {} if verb == "CONSUMER.CREATE" and before >= 1 else None

    async def located(_: int | None) -> int:
        return 0

    async def confirmed() -> bool:
        return True

    async with electing(tmp_path, answer) as (cluster, pod):
        # Whoever waits for it as long as for other answers waits in vain.
        feed = Feed(
            Api(pod.link, timeout=60.0),
            pod.feed_api,
            "SSE_acme",
            "pod",
            take=lambda *_: True,
            locate=located,
            confirm=confirmed,
        )
        running = asyncio.create_task(feed.run(), name="feed")
        try:
            await until(feed.attached.is_set, "it follows")
            assert feed._unmade == 0, "the next one is waited for no longer than this one was"
        finally:
            await ended(running)
        first, second = cluster.consumers("CONSUMER.CREATE")
        assert first != second
        assert len(cluster.consumers("CONSUMER.INFO")) == 3
        verbs = [verb for verb, _ in cluster.asked if verb != "CONSUMER.DELETE"]
        assert verbs == ["CONSUMER.CREATE", *["CONSUMER.INFO"] * 3, "CONSUMER.CREATE"]


async def test_a_consumer_is_waited_for_longer_where_many_questions_were_put_before(tmp_path: Path) -> None:
    """Or a thousand feeds that begin together would all give up, and begin again, on a server that is only busy."""
    loop, made_at = asyncio.get_running_loop(), list[float]()

    def answer(verb: str, _: int) -> object:
        if verb == "CONSUMER.CREATE":
            made_at.append(loop.time())
        return NONE if verb == "CONSUMER.INFO" else None

    async def located(_: int | None) -> int:
        return 0

    async def confirmed() -> bool:
        return True

    async with electing(tmp_path, answer) as (cluster, pod):
        api = Api(pod.link, timeout=60.0)
        before = [asyncio.create_task(api.call(f"STREAM.UPDATE.{number}"), name="before") for number in range(300)]
        await until(lambda: len(cluster.asked) == len(before), "all are asked")
        feed = Feed(api, pod.feed_api, "SSE_acme", "pod", take=lambda *_: True, locate=located, confirm=confirmed)
        running = asyncio.create_task(feed.run(), name="feed")
        try:
            await until(lambda: len(made_at) > 1, "it gives up the first", seconds=30.0)
        finally:
            for task in before:
                task.cancel()
            await asyncio.gather(*before, return_exceptions=True)
            await ended(running)
        assert made_at[1] - made_at[0] > 1.0
    assert pod.link.client.under_way == 0


async def test_a_probe_does_not_wait_for_the_making_of_a_stream_that_is_there(tmp_path: Path) -> None:
    """Nobody makes one while the cluster elects; the probe's own leader may be elected before."""
    async with electing(tmp_path, lambda *_: None) as (cluster, pod):

        async def store(message: Msg) -> None:
            await message.respond(b'{"stream":"slipstream_probe","seq":1}')

        prober = Prober(pod.link, pod.feed_link, "making")
        asking = asyncio.create_task(prober._ask(pod.link.client, 3.0), name="ask")
        await until(lambda: bool(cluster.consumers("STREAM.CREATE")), "it is to be made")
        await cluster.client.subscribe("slipstream.probe.*", cb=store)
        assert await asking is None


async def test_nobody_is_refused_while_the_probe_has_no_leader_for_as_long_as_an_election_takes(
    pod: Pod,
) -> None:
    """Other streams take writes meanwhile. Here its subject is nobody's, and its stream cannot be made."""
    prober = Prober(pod.link, pod.feed_link, "electing")
    task = asyncio.create_task(prober.run(), name="prober")
    loop = asyncio.get_running_loop()
    try:
        await until(lambda: bool(prober.document()["proven"]), "a probe is answered")
        await pod.api.call(f"STREAM.DELETE.{PROBE_STREAM}")
        began = loop.time()
        await pod.api.call(f"STREAM.CREATE.{PROBE_STREAM}", {"name": PROBE_STREAM, "subjects": ["elsewhere"]})
        await until(lambda: prober.upstream.open, "the breaker opens", seconds=30.0)
        assert loop.time() - began > probers._ELECTION_SECONDS
    finally:
        await ended(task)
        await pod.api.call(f"STREAM.DELETE.{PROBE_STREAM}")
